"""The document: every path as the router has it, and what asks a model once more for each."""

from __future__ import annotations

import json

import numpy as np
from gantline.serve.openapi.document import Access, Server, document
from gantline.serve.openapi.faces import FACES
from gantline.serve.openapi.operation import Script, Subject

from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 1)),))
NONE = Signature((), ())
SAMPLE = {"x": np.array([[1.5, 2.0]], np.float32)}
IRIS = Subject("iris", "1", SIGNATURE, SAMPLE)
RULE = Subject("a b", "1", NONE, script=Script({"type": "object"}, {}))


def test_each_model_is_there_with_its_own_tensors() -> None:
    found = document(FACES, Server("1", [IRIS, RULE]))
    one = found["paths"]["/v2/models/iris/infer"]["post"]
    content = one["requestBody"]["content"]["application/json"]
    assert content["example"]["inputs"][0]["data"] == [1.5, 2.0] and one["x-gantline-asks"]
    assert "/v2/models/{name}/infer" in found["paths"] and "/models/a%20b/score" in found["paths"]
    assert "/v2/models/a%20b/infer" not in found["paths"]  # it has no tensors
    assert "/score" not in found["paths"] and "/v2/models/iris/versions/1/infer" not in found["paths"]
    json.dumps(found)


def test_the_default_script_owns_score() -> None:
    found = document(FACES, Server("1", [IRIS, RULE], RULE))
    assert found["paths"]["/score"]["post"]["x-gantline-asks"] and "requestBody" not in found["paths"]["/score"]["get"]
    assert "/score" not in document(FACES, Server("1", [IRIS], IRIS))["paths"]


def test_several_versions_are_told_apart() -> None:
    older = Subject("iris", "1", Signature((TensorSpec("old", "BOOL", (1,)),), ()))
    found = document(FACES, Server("1", [Subject("iris", "2", SIGNATURE), older]))["paths"]
    text = {path: json.dumps(found[path]) for path in found if "iris" in path}
    assert (
        '"const": "x"' in text["/v2/models/iris/infer"] and '"const": "x"' in text["/v2/models/iris/versions/2/infer"]
    )
    assert '"const": "old"' in text["/v2/models/iris/versions/1/infer"]


def test_operations_have_names_of_their_own() -> None:
    twins = [Subject("a.b", "1", SIGNATURE), Subject("a_b", "1", SIGNATURE)]
    found = document(FACES, Server("1", twins))
    ids = [one["operationId"] for path in found["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))


def test_only_what_the_router_has() -> None:
    found = document(FACES, Server("1", [IRIS], paths=frozenset({"/v2", "/v2/models/{name}/infer"})))
    assert set(found["paths"]) == {"/v2", "/v2/models/{name}/infer", "/v2/models/iris/infer"}
    assert [t["name"] for t in found["tags"]] == ["V2"]


def test_keys() -> None:
    def access(path: str) -> Access:
        return Access() if path == "/v2/health/live" else Access(True, True, "admin" if "load" in path else "")

    found = document(FACES, Server("1", [IRIS], access=access))
    assert set(found["components"]["securitySchemes"]) == {"key", "bearer"}
    assert "security" not in found["paths"]["/v2/health/live"]["get"]
    one = found["paths"]["/v2/models/iris/infer"]["post"]
    assert one["security"] == [{"key": []}, {"bearer": []}] and {"401", "403"} <= set(one["responses"])
    assert found["paths"]["/v2/repository/models/{name}/load"]["post"]["summary"].endswith("(role admin)")
    plain = document(FACES, Server("1", [IRIS], access=lambda path: Access(refuses=True)))
    assert "securitySchemes" not in plain["components"] and "403" in plain["paths"]["/v2"]["get"]["responses"]


def test_it_says_that_there_are_more() -> None:
    assert "1 of 1000 models" in document(FACES, Server("1", [IRIS], total=1000))["info"]["description"]
    assert "Every model" in document(FACES, Server("1", [IRIS], total=1))["info"]["description"]


def test_what_is_referred_to_is_there() -> None:
    found = document(FACES, Server("1", [IRIS, RULE], RULE))
    text = json.dumps(found)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names and names <= set(found["components"]["schemas"])
