"""Kubernetes' objects: as its own schemas have them, and as careful operators want them."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.builders.deploy import compose, kserve
from gantline.builders.deploy.description import ImageName
from gantline.builders.deploy.description_file import read
from gantline.builders.deploy.kubernetes import write

from gantline.errors import UsageError

from .conftest import DIGEST, FULL, Make, judged

# strict: properties that a schema does not name are errors too
_JUDGE = """
import json, sys, kubernetes_validate as k
found = []
documents = json.load(sys.stdin)
for version in ("1.27", k.latest_version()):
    for document in documents:
        try:
            k.validate(document, version, strict=True)
        except (k.ValidationError, k.SchemaNotFoundError) as e:
            found.append(f"{version} {document['kind']}: {getattr(e, 'message', e)}")
print(json.dumps(found))
"""


def test_everything_that_is_said_is_written(endpoint: Make) -> None:
    written = write(endpoint(blue=FULL))
    assert [name[3:] for name in written.documents] == [
        "service-iris.yaml", "deployment-iris-blue.yaml", "horizontalpodautoscaler-iris-blue.yaml",
        "poddisruptionbudget-iris-blue.yaml", "networkpolicy-iris-blue.yaml",
    ]  # fmt: skip
    service, deployment, scaler, budget, network = written.documents.values()
    assert "replicas" not in deployment["spec"], "an autoscaler decides"
    template = deployment["spec"]["template"]
    chosen = [tree["spec"]["selector"]["matchLabels"] for tree in (deployment, budget)]
    for found in (*chosen, service["spec"]["selector"], network["spec"]["podSelector"]["matchLabels"]):
        assert found.items() <= template["metadata"]["labels"].items()
    pod = template["spec"]
    assert pod["terminationGracePeriodSeconds"] == 18, "2.5 s to drain, 10 to answer, 5 to stop"
    assert pod["volumes"][1]["secret"] == {
        "secretName": "gate", "items": [{"key": "keys.toml", "path": "keys.toml"}], "optional": False,
    }  # fmt: skip
    (one,) = pod["containers"]
    assert one["image"] == DIGEST
    assert one["resources"] == {
        "requests": {"cpu": "250m", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"},
    }
    env = {e["name"]: e.get("value") or e["valueFrom"] for e in one["env"]}
    assert env == {
        "GANTLINE_ACCESS_LOG": "true", "GANTLINE_DRAIN_S": "2.5", "GANTLINE_SHUTDOWN_S": "10",
        "GANTLINE_KEYS": "/run/gantline/keys/keys.toml", "GANTLINE_NO_AUTH": "false", "PRICE": "$5 $$(x)",
        "TOKEN": {"secretKeyRef": {"name": "bank", "key": "token"}},
    }  # fmt: skip
    assert one["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}
    assert one["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": 8000}
    assert (one["readinessProbe"]["periodSeconds"], one["startupProbe"]["failureThreshold"]) == (3, 20)
    rights = one["securityContext"]
    assert rights["runAsNonRoot"] and rights["readOnlyRootFilesystem"] and rights["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 6)
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert network["spec"]["egress"] == [{}]
    assert (budget["spec"]["maxUnavailable"], budget["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_as_careful_operators_want_it(endpoint: Make) -> None:
    trees = {t["kind"]: t for t in write(endpoint(blue={"instances": 3})).documents.values()}
    spec = trees["Deployment"]["spec"]
    template, labels = spec["template"], spec["template"]["metadata"]["labels"]
    assert template["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
    assert labels["app.kubernetes.io/version"] == "5a" * 6 and "app.kubernetes.io/component" in labels
    assert "app.kubernetes.io/version" not in spec["selector"]["matchLabels"], "which can never be changed"
    rules = template["spec"]["topologySpreadConstraints"]
    assert [rule["topologyKey"] for rule in rules] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(rule["labelSelector"] == spec["selector"] for rule in rules)
    assert template["spec"]["volumes"][0]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert spec["progressDeadlineSeconds"] == 600 and "imagePullSecrets" not in template["spec"]
    slow = {"probes": {"startup": {"period_s": 10, "failures": 120}}, "resources": {"tmp": "20Gi"}}
    trees = {t["kind"]: t for t in write(endpoint(blue=slow)).documents.values()}
    spec = trees["Deployment"]["spec"]
    assert spec["progressDeadlineSeconds"] == 1260, "not given up while its own probe waits"
    assert spec["template"]["spec"]["volumes"][0]["emptyDir"] == {"sizeLimit": "20Gi"}
    assert "topologySpreadConstraints" not in spec["template"]["spec"], "there is one"


def test_where_it_is_and_how_it_is_pulled() -> None:
    tree = {"endpoint": "iris", "namespace": "prod", "pull_secret": "registry", "deployments": {"blue": {}}}
    found = read(tree, "here", lambda name, said: ImageName("r.example/iris:1.2"))
    trees = {t["kind"]: t for t in write(found).documents.values()}
    assert {t["metadata"]["namespace"] for t in trees.values()} == {"prod"}
    assert trees["Service"]["metadata"]["labels"]["app.kubernetes.io/version"] == "1.2"
    pod = trees["Deployment"]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    (service,) = kserve.write(found).documents.values()
    assert service["metadata"]["namespace"] == "prod"
    assert service["spec"]["predictor"]["imagePullSecrets"] == [{"name": "registry"}]
    told = compose.write(found).notes
    assert [note.partition(" is not applied: ")[0] for note in told] == ["namespace", "pull_secret"]
    for key in ("namespace", "pull_secret"):
        with pytest.raises(UsageError, match=f"here: {key} 'A b'"):
            read({**tree, key: "A b"}, "here", lambda name, said: ImageName("x"))


def test_nothing_goes_out_unless_it_is_said(endpoint: Make) -> None:
    (network,) = (t for t in write(endpoint(blue={})).documents.values() if t["kind"] == "NetworkPolicy")
    assert network["spec"]["egress"] == [] and network["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_one_in_the_light_and_one_in_the_dark(endpoint: Make) -> None:
    written = write(endpoint(blue={"traffic": 100}, green={"traffic": 0, "instances": 3}))
    services = {
        t["metadata"]["name"]: t["spec"]["selector"] for t in written.documents.values() if t["kind"] == "Service"
    }
    assert services["iris"]["app.kubernetes.io/instance"] == "iris-blue"
    assert services["iris-green"]["app.kubernetes.io/instance"] == "iris-green"
    assert len(services) == 2


def test_shares_are_refused(endpoint: Make) -> None:
    with pytest.raises(UsageError, match=r"no weights .*--to kserve.*blue 90 %, green 10 %"):
        write(endpoint(blue={"traffic": 90}, green={"traffic": 10}))


@pytest.mark.oracle
def test_the_published_schemas(endpoint: Make) -> None:
    trees = [
        *write(endpoint(blue=FULL)).documents.values(),
        *write(endpoint(blue={"traffic": 100}, green={"traffic": 0})).documents.values(),
    ]
    assert judged("manifests", _JUDGE, trees) == []
    wrong: dict[str, Any] = {**trees[1], "spec": {**trees[1]["spec"], "replica": 1}}
    assert any("replica" in line for line in judged("manifests", _JUDGE, [wrong])), "the judge sees a wrong key"
