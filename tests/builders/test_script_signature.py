"""What a script with infer() says of itself, read without running it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from gantline.builders.script_signature import signature_of, yields

from gantline.errors import BadArtefact

PATH = Path("score.py")


def body(text: str) -> list[ast.stmt]:
    return ast.parse(text).body


def test_signature() -> None:
    found = signature_of(
        body('INPUTS = {"text": ("BYTES", [1]), "n": ["INT32", ()]}\nOUTPUTS: dict = {"y": ("FP32", (-1, 4))}'), PATH
    )
    assert [(t.name, t.datatype, t.shape) for t in found.inputs] == [("text", "BYTES", (1,)), ("n", "INT32", ())]
    assert [(t.name, t.datatype, t.shape) for t in found.outputs] == [("y", "FP32", (-1, 4))]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("", "no INPUTS found"),
        ("INPUTS: dict", "no INPUTS found"),
        ("INPUTS = dict(x=1)", "line 1: INPUTS must be written out"),
        ("SIZE = 1\nINPUTS = {'x': ('FP32', [SIZE])}", "line 2: INPUTS must be written out"),
        ("INPUTS = []", "no dictionary of tensors"),
        ("INPUTS = {}", "no dictionary of tensors"),
        ("INPUTS = {'x': 'FP32'}", r"'x' is not \(datatype, shape\)"),
        ("INPUTS = {'x': ('FP32', 4)}", r"'x' is not \(datatype, shape\)"),
        ("INPUTS = {'x': ('FP32', [-2])}", "sizes are whole numbers"),
        ("INPUTS = {'x': ('FP32', [True])}", "sizes are whole numbers"),
        ("INPUTS = {'x': ('float', [1])}", "datatype 'float'; known: BOOL"),
        ("INPUTS = {1: ('FP32', [1])}", "needs name, datatype and shape"),
    ],
)
def test_what_is_wrong_is_named(inputs: str, words: str) -> None:
    with pytest.raises(BadArtefact, match=words) as raised:
        signature_of(body(f"{inputs}\nOUTPUTS = {{'y': ('FP32', [1])}}"), PATH)
    assert raised.value.message.startswith("score.py")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def infer(i):\n    yield {}", True),
        ("async def infer(i):\n    async for x in i:\n        yield x", True),
        ("def infer(i):\n    if i:\n        with i:\n            x = yield from i", True),
        ("def infer(i):\n    return {}", False),
        ("def infer(i):\n    def inner():\n        yield 1\n    return list(inner())", False),
        ("def infer(i):\n    f = lambda: (yield)\n    return {}", False),
        ("def other(i):\n    yield 1\ninfer = other", False),
        ("def infer(i):\n    yield 1\ndef infer(i):\n    return {}", False),
    ],
)
def test_whether_it_yields(text: str, found: bool) -> None:
    assert yields(body(text)) is found
