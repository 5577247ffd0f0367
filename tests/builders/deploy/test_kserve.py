"""InferenceServices: one, or the one before and its canary; read back by KServe's own models."""

from __future__ import annotations

import pytest
from gantline.builders.deploy.kserve import write

from gantline.errors import UsageError

from .conftest import DIGEST, FULL, Make, judged

# its models, and those of pods that they name: every key has to be one of theirs, of the type that they say
_JUDGE = r"""
import json, re, sys
import kserve.models, kubernetes.client.models

def look(value, kind, where, found):
    if inner := re.fullmatch(r"(?:list|List)\[(.*)\]", kind):
        if not isinstance(value, list):
            found.append(f"{where}: not a list")
        for one in value:
            look(one, inner[1], where, found)
    elif inner := re.fullmatch(r"(?:dict\(|Dict\[)str, (.*)[\])]", kind):
        for key, one in value.items():
            look(one, inner[1], f"{where}.{key}", found)
    elif kind in ("str", "int", "bool"):
        if type(value).__name__ != kind:
            found.append(f"{where}: {value!r} is no {kind}")
    elif kind not in ("object", "float"):
        model = getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind)
        types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
        for key, one in value.items():
            if key in types:
                look(one, types[key], f"{where}.{key}", found)
            else:
                found.append(f"{where}: {kind} has no {key}")

found = []
for document in json.load(sys.stdin):
    look(document, "V1beta1InferenceService", "", found)
print(json.dumps(found))
"""


def test_a_predictor_of_our_own(endpoint: Make) -> None:
    written = write(endpoint(blue=FULL))
    (tree,) = written.documents.values()
    predictor = tree["spec"]["predictor"]
    assert "canaryTrafficPercent" not in predictor
    assert (predictor["minReplicas"], predictor["maxReplicas"], predictor["scaleTarget"]) == (2, 6, 80)
    (one,) = predictor["containers"]
    assert one["name"] == "kserve-container" and one["image"] == DIGEST
    assert [p["containerPort"] for p in one["ports"]] == [8000], "Knative takes one port"
    assert one["livenessProbe"]["initialDelaySeconds"] == 40, "20 failures 2 s apart"
    assert one["securityContext"]["readOnlyRootFilesystem"] and one["securityContext"]["runAsUser"] == 65532
    # its admission takes "cpu" for the autoscaler of this class alone
    assert tree["metadata"]["annotations"] == {
        "autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev", "serving.kserve.io/autoscalerClass": "hpa",
    }  # fmt: skip


def test_it_ends_before_it_is_killed(endpoint: Make) -> None:
    def times(**said: float) -> tuple[str, str, tuple[str, ...]]:
        written = write(endpoint(blue=said))
        (tree,) = written.documents.values()
        env = {e["name"]: e["value"] for e in tree["spec"]["predictor"]["containers"][0]["env"]}
        return env["GANTLINE_DRAIN_S"], env["GANTLINE_SHUTDOWN_S"], written.notes

    assert times() == ("5", "20", ())
    assert times(drain_s=2, shutdown_s=10) == ("2", "10", ())
    drain, shutdown, (note,) = times(drain_s=10, shutdown_s=60)
    assert (drain, shutdown) == ("10", "15") and "they become 10 and 15" in note
    assert times(drain_s=90)[:2] == ("25", "0")


def test_what_its_admission_refuses(endpoint: Make) -> None:
    with pytest.raises(UsageError, match="KServe admits no PYTHONPATH"):
        write(endpoint(blue={"environment": {"PYTHONPATH": "/x"}}))
    (tree,) = write(endpoint(blue={})).documents.values()
    assert "annotations" not in tree["metadata"], "a number that is fixed leaves the usual autoscaler"


def test_a_canary_comes_second(endpoint: Make) -> None:
    written = write(endpoint(green={"traffic": 10, "image": "r.example/x@sha256:1"}, blue={"traffic": 90}))
    assert list(written.documents) == ["1-blue.yaml", "2-green.yaml"] and written.apart
    first, second = (tree["spec"]["predictor"] for tree in written.documents.values())
    assert "canaryTrafficPercent" not in first and second["canaryTrafficPercent"] == 10
    assert second["containers"][0]["image"] == "r.example/x@sha256:1"
    assert written.next.index("1-blue") < written.next.index("wait") < written.next.index("2-green")


def test_what_it_has_no_place_for(endpoint: Make) -> None:
    three = {"a": {"traffic": 50}, "b": {"traffic": 25}, "c": {"traffic": 25}}
    with pytest.raises(UsageError, match="3 deployments; an InferenceService has two at most"):
        write(endpoint(**three))
    with pytest.raises(UsageError, match="'b' has no traffic"):
        write(endpoint(a={"traffic": 100}, b={"traffic": 0}))
    assert "egress is not applied" in write(endpoint(a={"egress": "none"})).notes[0]


@pytest.mark.oracle
def test_kserve_reads_it_all(endpoint: Make) -> None:
    trees = [
        *write(endpoint(blue=FULL)).documents.values(),
        *write(endpoint(blue={"traffic": 90}, green={"traffic": 10})).documents.values(),
    ]
    assert judged("kserve", _JUDGE, trees) == []
    wrong = {**trees[0], "spec": {"predictor": {**trees[0]["spec"]["predictor"], "canaryPercent": 10}}}
    assert judged("kserve", _JUDGE, [wrong]), "the judge sees a wrong key"
