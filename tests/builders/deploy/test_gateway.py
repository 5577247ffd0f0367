"""Shares of the traffic in a cluster with a gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.deploy import compose, kserve, kubernetes
from gantline.builders.deploy.description import Endpoint, ImageName
from gantline.builders.deploy.description_file import read

from gantline.errors import UsageError

from .conftest import DIGEST, judged

# of HTTPRoute v1, from the custom resource that the Gateway API publishes (Apache-2.0), without words for people
_SCHEMA = Path(__file__).parent / "httproute.json"
_JUDGE = """
import json, sys, jsonschema
schema, *documents = json.load(sys.stdin)
judge = jsonschema.Draft202012Validator(schema)
print(json.dumps([e.message for d in documents for e in judge.iter_errors(d)]))
"""


def routed(deployments: dict[str, Any], **site: str) -> Endpoint:
    said = {"gateway": "infra/public", "hostname": "iris.example.com", **site}
    tree = {"endpoint": "iris", "port": 9000, **said, "deployments": deployments}
    return read(tree, "here", lambda name, image: ImageName(image or DIGEST))


def test_a_canary() -> None:
    written = kubernetes.write(
        routed({"blue": {"traffic": 90}, "green": {"traffic": 10}, "dark": {}}, namespace="prod")
    )
    route, *others = written.documents.values()
    assert route["kind"] == "HTTPRoute" and route["metadata"]["namespace"] == "prod"
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert route["spec"]["hostnames"] == ["iris.example.com"]
    grpc, http = route["spec"]["rules"]
    assert http["backendRefs"] == [
        {"name": "iris-blue", "port": 9000, "weight": 90}, {"name": "iris-green", "port": 9000, "weight": 10},
    ]  # fmt: skip
    assert [(one["name"], one["port"]) for one in grpc["backendRefs"]] == [("iris-blue", 9001), ("iris-green", 9001)]
    services = {t["metadata"]["name"] for t in others if t["kind"] == "Service"}
    assert services == {"iris-blue", "iris-green", "iris-dark"}, "none that would share it otherwise"


def test_all_to_one() -> None:
    """Weights move, and no name does."""
    written = kubernetes.write(routed({"blue": {"traffic": 0}, "green": {"traffic": 100}}))
    route, *others = written.documents.values()
    assert [one["name"] for one in route["spec"]["rules"][1]["backendRefs"]] == ["iris-green"]
    services = {t["metadata"]["name"] for t in others if t["kind"] == "Service"}
    assert services == {"iris", "iris-blue", "iris-green"}


@pytest.mark.parametrize(
    ("site", "told"),
    [
        ({"gateway": "a/b/c"}, "here: gateway 'a/b/c': expected NAME or NAMESPACE/NAME"),
        ({"hostname": "no name"}, "here: hostname 'no name'"),
        ({"hostname": ""}, "gateway and hostname go together"),
        ({"gateway": ""}, "gateway and hostname go together"),
    ],
)
def test_what_is_wrong(site: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        routed({"blue": {}}, **site)


def test_more_than_it_has_places_for() -> None:
    with pytest.raises(UsageError, match="17 deployments share the traffic; 16 at most can"):
        kubernetes.write(routed({f"d{n}": {"traffic": 84 if n == 0 else 1} for n in range(17)}))


def test_where_there_is_none() -> None:
    assert "gateway is not applied" in compose.write(routed({"blue": {}})).notes[0]
    assert any("gateway is not applied: KServe" in note for note in kserve.write(routed({"blue": {}})).notes)
    with pytest.raises(UsageError, match="compose has no router"):
        compose.write(routed({"blue": {"traffic": 50}, "green": {"traffic": 50}}))


@pytest.mark.oracle
def test_the_published_schema() -> None:
    route = next(iter(kubernetes.write(routed({"blue": {"traffic": 90}, "green": {"traffic": 10}})).documents.values()))
    schema = json.loads(_SCHEMA.read_text())
    assert judged("manifests", _JUDGE, [schema, route]) == []
    wrong = {**route, "spec": {**route["spec"], "hostname": "x"}}
    assert "hostname" in judged("manifests", _JUDGE, [schema, wrong])[0], "the judge sees a wrong key"
