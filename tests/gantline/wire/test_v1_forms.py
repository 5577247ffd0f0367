"""Forms of V1's small requests: the short way reads what the long way does, or leaves it to that one."""

from __future__ import annotations

import pytest

from gantline.signature import Signature, TensorSpec
from gantline.wire.list_form import ListForm
from gantline.wire.v1 import COLUMNS, decode_predict
from gantline.wire.v1_forms import values_form

ONE = Signature((TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 3)),))


def form(body: bytes, signature: Signature = ONE) -> ListForm | None:
    return values_form(body, decode_predict(body, signature, "m"))


def test_a_form_reads_what_the_long_way_reads() -> None:
    found = form(b'{"instances": [[1.5, 2.0, 3.0]], "signature_name": "serving_default"}')
    assert found is not None and found.name == "x"
    good = ("[[1.0,2.0,3.0]]", "[[1,2,3]]", " [ [0.1, 2e5, -3] ]", "[[null,1.0,2.0]]")
    odd = (
        "[[1e39,1.0,1.0]]",
        "[[1.0,2.0]]",
        "[1.0,2.0,3.0]",
        "[[1.0,2.0,3.0],[1.0,2.0,3.0]]",
        "[[[1.0,2.0,3.0]]]",
        "[]",
    )
    worse = (
        "[[true,1.0,2.0]]",
        '[["a",1.0,2.0]]',
        "{}",
        "[[]]",
        "[[NaN,1.0,2.0]]",
        '[{"x":[1,2,3]}]',
        "[[1.0,2.0,3.0]] ,",
    )
    for rows in (*good, *odd, *worse):
        body = f'{{"instances": {rows}, "signature_name": "serving_default"}}'.encode()
        short = found.read(body)
        assert (short is not None) == (rows in good), rows
        if short is None:
            continue
        long = decode_predict(body, ONE, "m").inputs["x"]
        assert short.dtype == long.dtype and short.tobytes() == long.tobytes() and short.shape == long.shape
    assert found.read(b'{"instances": [[1.0,2.0,3.0]], "signature_name": "serving_default"}') is not None
    assert found.read(b'{"instances": [[1.0,2.0,3.0]]}') is None


def test_a_form_of_many_rows_and_of_cells() -> None:
    many = form(b'{"instances":[[1,2,3],[4,5,6]]}')
    assert many is not None
    got = many.read(b'{"instances":[[1,2.5,3],[4,5,7]]}')
    assert got is not None and got.tolist() == [[1, 2.5, 3], [4, 5, 7]]
    for other in (b"[[1,2,3]]", b"[1,2,3,4,5,6]", b"[[1,2],[3,4],[5,6]]"):
        assert many.read(b'{"instances":' + other + b"}") is None
    column = Signature((TensorSpec("age", "INT64", (-1, 1)),), ())
    cells = form(b'{"instances":[1,2]}', column)
    assert cells is not None
    got = cells.read(b'{"instances":[7,8]}')
    assert got is not None and got.tolist() == [[7], [8]]


def test_a_form_in_column_format() -> None:
    found = form(b'{"inputs":[[1,2,3]]}')
    assert found is not None and found.asked == COLUMNS
    got = found.read(b'{"inputs":[[1.5,2.5,3.5]]}')
    assert got is not None and got.tolist() == [[1.5, 2.5, 3.5]]
    assert found.read(b'{"instances":[[1.5,2.5,3.5]]}') is None and found.read(b'{"inputs":[1.5,2.5,3.5]}') is None


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (b'{"instances":[{"x":[1,2,3]}]}', ONE),
        (b'{"inputs":{"x":[[1,2,3]]}}', ONE),
        (b'{"instances":["a"]}', Signature((TensorSpec("x", "BYTES", (-1,)),), ())),
        (b'{"instances":[[NaN,2,3]]}', ONE),
        (b'{"a":{"instances":[]},"\\u0069nstances":[[1,2,3]]}', ONE),
        (b'{"a":"\xc3\xa9","instances":[[1,2,3]]}', ONE),
        (b'{"instances":[{"age":1}]}', Signature((TensorSpec("age", "INT64", (-1, 1)),), ())),
    ],
)
def test_what_has_no_form(body: bytes, signature: Signature) -> None:
    found = form(body, signature)
    assert found is None or found.read(body) is None
