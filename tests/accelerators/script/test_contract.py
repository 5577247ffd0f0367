"""What a script must define, and how a request becomes its arguments. Azure's own answers: tests/conformance."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.contract import METHODS, ContractError, Refused, Script
from gantline.accelerators.script.ring import Message

Load = Callable[..., Script]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    def loading(text: str, contract: str = "azure") -> Script:
        path = tmp_path / "score.py"
        path.write_text(textwrap.dedent(text))
        return Script(str(path), contract)

    yield loading
    sys.modules.pop("entry_module", None)


def message(body: bytes = b"", method: str = "POST", query: str = "", **headers: str) -> Message:
    lines = ["/score", query, *(f"{k.replace('_', '-')}:{v}" for k, v in headers.items())]
    return Message(ch.SCORE, 1, 0, METHODS.index(method), 0, "\n".join(lines).encode("latin-1"), body)


def test_modes(load: Load) -> None:
    assert load("def init(): pass\ndef run(data): pass").mode == "string"
    assert load("def infer(inputs): return inputs", "tensors").mode == "tensors"
    assert load("def init(): pass\ndef run_batch(items): return items").batch is not None
    script = load("def init(): pass\nasync def run(data, request_headers): pass")
    assert script.concurrent and script.wants_headers and script.first == "data"
    assert load("def init(): pass\nasync def run(data):\n    yield 1").concurrent


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def run(data): pass", r"does not define a function init\(\)"),
        ("def init(): pass\nrun = 3", r"does not define a function run\(\)"),
        ("def init(): pass\ndef run(a, /): pass", "positional-only"),
        ("def init(): pass\ndef run(**k): pass", "positional-only"),
        ("def init(): pass\ndef run(): pass", "an argument for input data"),
        ("def init(): pass\ndef run(request_headers): pass", 'other than "request_headers"'),
    ],
)
def test_what_cannot_be_served(load: Load, text: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        load(text)


def test_strings(load: Load) -> None:
    script = load("def init(): pass\ndef run(data): pass")
    assert script.arguments(Message(ch.SCORE, 1, 0, 0, 0, b"", "ü".encode())) == {"data": "ü"}
    with pytest.raises(Refused, match="cannot be decoded as UTF-8") as caught:
        script.arguments(message(b"\xff"))
    assert caught.value.status == 400
    found = script.arguments(message(method="GET", query="a=1&b=x&a=[2]&e="))
    assert json.loads(found["data"]) == {"a": [1, [2]], "b": "x", "e": ""}
    deep = "a=" + "[" * 100_000
    assert json.loads(script.arguments(message(method="GET", query=deep))["data"])["a"].startswith("[[[")


def test_headers_are_one_string_for_each_name(load: Load) -> None:
    script = load("def init(): pass\ndef run(data, request_headers): pass")
    one = Message(ch.SCORE, 1, 0, 0, 0, b"/score\n\nx-a:1\nhost:h:1\nx-a:2", b"b")
    assert script.arguments(one) == {"data": "b", "request_headers": {"X-A": "1,2", "Host": "h:1"}}


def test_schema(load: Load) -> None:
    script = load(
        """
        from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as P
        from inference_schema.schema_decorators import input_schema
        def init(): pass
        @input_schema("a", P(1))
        def run(a, b="default"): pass
        """
    )
    assert script.mode == "schema"
    kind = {"content_type": "application/json; charset=utf-8"}
    assert script.arguments(message(b'{"a": 1, "c": 2}', **kind)) == {"a": 1, "b": "default"}
    assert script.arguments(message(method="GET", query="a=5")) == {"a": 5, "b": "default"}
    for body, headers, status in (
        (b"{}", kind, 400), (b"[]", kind, 400), (b"", kind, 400), (b"{", kind, 400), (b"{}", {}, 415),
        (b"[" * 100_000, kind, 400), (b'{"a": "\xff"}', kind, 400),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            script.arguments(message(body, **headers))
        assert caught.value.status == status
    described = script.describe()
    assert described["mode"] == "schema" and described["schema"]["input"]["example"]["a"] == 1


def test_dataclasses_of_a_script_know_their_module(load: Load) -> None:
    script = load(
        """
        from __future__ import annotations
        import dataclasses
        @dataclasses.dataclass
        class Point:
            x: float
        def init(): pass
        def run(data): return Point(1.0)
        """
    )
    assert script.run(data="").x == 1.0
