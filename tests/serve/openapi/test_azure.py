"""/score described: by the script's own declaration, and only where a script answers."""

from __future__ import annotations

from gantline.serve.openapi.azure import AZURE, score, scored
from gantline.serve.openapi.operation import Script, Subject

from gantline.signature import Signature

NONE = Signature((), ())
TAKES = {"type": "object", "example": {"data": [1]}}


def test_a_script_declares_what_it_takes() -> None:
    exact = score(Subject("s", "1", NONE, script=Script(TAKES, {"type": "array"}, '{"data": [2]}')))
    assert exact is not None
    body, answer = exact
    assert body.schema == TAKES and body.example == {"data": [2]}
    assert answer.media == {"application/json": {"type": "array"}}


def test_examples() -> None:
    def of(script: Script) -> object:
        exact = score(Subject("s", "1", NONE, script=script))
        assert exact is not None
        return exact[0].example

    assert of(Script(TAKES, {}, "[1]")) == [1]
    assert of(Script(TAKES, {}, "not json")) == "not json"
    assert of(Script({}, {}, "a,b", "text/plain")) == "a,b"
    assert of(Script({}, {})) is None


def test_other_models_have_none() -> None:
    other = Subject("m", "1", NONE)
    assert score(other) is None and not scored(other)
    assert {o.path for o in AZURE.operations if o.needs is None} == {"/"}
