"""Forms: what is read by a remembered form is what the long way reads; a body of another form is left to that."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gantline.errors import GantlineError
from gantline.request import Reply, Request
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, Array, numpy_dtype
from gantline.wire.list_form import MAX_BYTES, ListForm
from gantline.wire.v2 import decode_request, encode_reply
from gantline.wire.v2_forms import ReplyForm, request_form

from .test_v2_shared import Bytes

BODY = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2.5,3]}]}'


def form_of(body: bytes) -> ListForm | None:
    """The form that a server would remember after this body, if it takes it at all."""
    try:
        request = decode_request(body)
    except GantlineError:
        return None
    return request_form(body, request)


def check(form: ListForm, body: bytes) -> bool:
    """Whether a body is read by a form; then the long way must give exactly the same request."""
    array = form.read(body)
    if array is None:
        return False
    request = decode_request(body)
    assert list(request.inputs) == [form.name]
    (other,) = request.inputs.values()
    assert array.dtype == other.dtype and array.shape == other.shape
    if array.dtype.kind == "O":
        assert array.tolist() == other.tolist()
    else:
        assert array.tobytes() == other.tobytes()
    # nothing else in it may matter: the server keeps rows, key and outputs of the first
    assert (request.outputs, request.id, request.binary_output) == (None, None, False)
    assert not request.parameters
    spec = TensorSpec(form.name, form.datatype, tuple(form.shape))
    Signature((spec,), ()).check("m", request.inputs)
    return True


def test_the_same_bytes_around_other_numbers() -> None:
    form = form_of(BODY)
    assert form is not None and (form.name, form.datatype, form.shape) == ("x", "FP32", [1, 3])
    for data in (
        b"[4,5,6]",
        b"[ 4 , 5 , 6 ]",
        b"[[4,5,6]]",
        b"  [1e3,-0.0,5E-2]\n",
        b"[null,1,2]",
        b"[-1e38,3.4028235e38,0.1]",
    ):
        assert check(form, BODY.replace(b"[1,2.5,3]", data)), data


@pytest.mark.parametrize(
    "data",
    [
        b"[4,5]", b"[4,5,6,7]", b"[4,5,x]", b"4", b"[4,5,6", b"4,5,6]", b"", b"[]", b'[4,5,"6"]', b"[NaN,1,2]",
        b"[4,5,6]]", b"[4,5,6],[7]", b'[4,5,6],"a":[7]', b'[4,5,6]}],"id":"7","z":[{"data":[1]', b'{"a":1}',
        b"[4,5,1e39]", b"[4,5,true]", b"[4,5,6]\0", b"\xff", b"[" * 1030 + b"]" * 1030, b'[4,5,6],"data":[7,8,9]',
        b"[4.5,5.5]", b"[4.5,5.5,1e39]", b"[-1e39,5.5,6.5]", b"[1e999,1.5,2.5]", b"[4.5,true,1.5]",
        b'"[4,5,6]"', b"[4,5,6]/**/", b"[1e999,1,2]", b"[[4,5],[6]]",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_to_the_long_way(data: bytes) -> None:
    form = form_of(BODY)
    assert form is not None and form.read(BODY.replace(b"[1,2.5,3]", data)) is None


@pytest.mark.parametrize("cut", range(0, len(BODY), 3))
def test_bodies_that_are_cut(cut: int) -> None:
    form = form_of(BODY)
    assert form is not None
    for body in (BODY[:cut], BODY[cut:], BODY[:cut] + BODY[cut + 1 :], BODY[:cut] + b" " + BODY[cut:]):
        try:
            check(form, body)
        except GantlineError:
            pytest.fail(f"read by the form, refused by the long way: {body!r}")


INPUT = '{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}'
FOOLING = [
    # "data" elsewhere, while the input's own key is spelled with escapes
    '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","\\u0064ata":[1,2],"z":{"data":[1,2]}}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","d\\u0061ta":[1,2]}],"z":{"data":[1,2]}}',
    '{"z":{"data":[1,2]},"inputs":[{"name":"x","shape":[2],"datatype":"FP32","dat\\u0061":[1,2]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2],"\\u0064ata":[3,4]}]}',
    # "data" in strings
    '{"inputs":[{"name":"\\"data\\":[1,2]","shape":[2],"datatype":"FP32","data":[1,2]}]}',
    '{"inputs":[{"name":"\\"data\\":","shape":[2],"datatype":"FP32","dat\\u0061":[1,2]}]}',
    '{"z":"\\"data\\":[1,2]","inputs":[{"name":"x","shape":[2],"datatype":"FP32","dat\\u0061":[1,2]}]}',
    '{"z":"data","inputs":[' + INPUT + "]}",
    '{"inputs":[{"name":"data","shape":[2],"datatype":"FP32","data":[1,2]}]}',
    # keys twice
    '{"inputs":[' + INPUT + '],"inputs":[{"name":"x","shape":[2],"datatype":"FP32","\\u0064ata":[3,4]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2],"data":[3,4]}]}',
    '{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[1,2],"shape":[2],"name":"y"}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"INT8","data":[1,2],"datatype":"FP32"}]}',
    # several inputs, and what comes after
    '{"inputs":[' + INPUT + "," + INPUT.replace('"x"', '"y"') + "]}",
    '{"inputs":[' + INPUT + '],"id":"7"}',
    '{"inputs":[' + INPUT + '],"id":null}',
    '{"inputs":[' + INPUT + '],"parameters":{"p":1}}',
    '{"inputs":[' + INPUT + '],"parameters":{}}',
    '{"inputs":[' + INPUT + '],"outputs":[{"name":"y"}]}',
    '{"inputs":[' + INPUT + '],"outputs":[]}',
    '{"inputs":[' + INPUT + '],"z":[{"a":[1,2]}]}',
    '{"inputs":[' + INPUT + '],"z":NaN}',
    '{"z":Infinity,"inputs":[' + INPUT + "]}",
    # form and layout
    ' { "inputs" : [ { "data" : [ 1 , 2 ] , "shape" : [ 2 ] , "datatype" : "FP32" , "name" : "x" } ] } ',
    '\t{"inputs":\n[{"name":"x","shape":[2],"datatype":"FP32","data"\r\n:\t[1,2]}]}\n',
    '{"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":[[1],[2]]}]}',
    '{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":1}],"z":[1,2]}',
    '{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":[1]}]}',
    '{"inputs":[{"name":"x","shape":[0],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"\u00e9","shape":[2],"datatype":"FP32","data":[1,2]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["\\"data\\":[1]","\u00e9"]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["]}]}","[\\\\"]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["]","["]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"UINT64","data":[1,18446744073709551615]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"BOOL","data":[true,false]}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"FP16","data":[1,2]}]}',
]
VALUES = [
    "[1,2]", "[3,4]", "[[3,4]]", "[[3],[4]]", "[ 5.5 , -6e3 ]", "[]", "[1]", "[1,2,3]", "[null,1]", "[NaN,1]",
    '["\\"data\\":[9]","]}]}"]', "[true,false]", "[18446744073709551615,18446744073709551616]", "[1e39,0]", "[1,2],[3]",
    '["a","b"]', '[1,2],"data":[3,4]', '[1,2]}],"id":"9","y":[{"z":[1,2]', '"[1,2]"', '["\u00e9","\\ud83d\\ude00"]',
    '["\\ud800","a"]', '[1,2],"shape":[1]', '[1,2],"name":"w"',
]  # fmt: skip


def others(dice: random.Random, body: bytes) -> bytes:
    """A body near another: another list somewhere, or a few bytes changed."""
    lists = [i for i, b in enumerate(body) if b in b"["]
    kind = dice.randrange(3)
    if kind < 2 and lists:
        at = dice.choice(lists)
        end = body.find(b"]", at) + 1
        body = body[:at] + dice.choice(VALUES).encode() + body[end:]
    if kind:
        at = dice.randrange(len(body) + 1)
        cut = dice.choice((0, 0, 1, 3))
        body = (
            body[:at] + dice.choice((b"", b"1", b",", b'"', b"]", b"[", b"\\", b" ", b"}", b"\xff")) + body[at + cut :]
        )
    return body


def test_no_body_fools_a_form() -> None:
    dice = random.Random(20261121)
    forms = [(f, text) for text in FOOLING if (f := form_of(text.encode())) is not None]
    assert len(forms) >= 12  # the plain ones among them
    read = 0
    for form, text in forms:
        for other in FOOLING:
            read += check(form, other.encode())
        for _ in range(600):
            try:
                read += check(form, others(dice, text.encode()))
            except GantlineError as e:
                pytest.fail(f"read by the form of {text}, refused by the long way: {e}")
    assert read > 300  # many are: the test is of something


def test_forms_are_only_of_the_plainest_bodies() -> None:
    kept = [text for text in FOOLING if form_of(text.encode()) is not None]
    for text in kept:
        assert text.isascii() and 'id":"' not in text and "\\u" not in text.split("[")[0]
    for text in FOOLING[:7]:
        assert text not in kept


def test_data_that_is_not_the_inputs_makes_no_form() -> None:
    """The tensor lies in shared memory: a form would take the other list for it the next time."""
    place = '{"shared_memory_region":"r","shared_memory_byte_size":8}'
    tensor = '{"name":"x","shape":[1,2],"datatype":"FP32","parameters":%s}'
    for body in (
        '{"data":[7,8],"inputs":[' + tensor % place + "]}",
        '{"inputs":[' + tensor % place + '],"data":[7,8]}',
    ):
        request = decode_request(body.encode(), memory=Bytes(r=np.array([1, 2], "<f4").tobytes()))
        assert request.inputs["x"].tolist() == [[1, 2]] and request_form(body.encode(), request) is None


numbers = st.integers(-(1 << 65), 1 << 65) | st.floats() | st.none() | st.booleans() | st.text(max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(list(DATATYPES)),
    st.lists(numbers, min_size=1, max_size=4),
    st.lists(st.lists(numbers, max_size=5), min_size=1, max_size=5),
    st.text(max_size=4),
    st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.lists(st.integers(), max_size=2), max_size=2),
)
def test_any_values_in_any_body(
    datatype: str, first: list[Any], values: list[list[Any]], name: str, more: dict[str, Any]
) -> None:
    def body(data: list[Any]) -> bytes:
        tensor = {"name": name, "shape": [len(first)], "datatype": datatype, "data": data}
        return json.dumps({"inputs": [tensor], **more}, ensure_ascii=False).encode()

    form = form_of(body(first))
    if form is not None:
        check(form, body(first))
        for data in values:
            check(form, body(data))


def test_large_bodies_are_not_remembered() -> None:
    data = [0.5] * (MAX_BYTES // 4)
    assert (
        form_of(
            json.dumps({"inputs": [{"name": "x", "shape": [len(data)], "datatype": "FP32", "data": data}]}).encode()
        )
        is None
    )


# -- answers


def long_way(names: list[str], arrays: list[Array]) -> bytes:
    return encode_reply(Reply('a"model', "7", list(zip(names, arrays, strict=True))), Request({}))[0]


@pytest.mark.parametrize("datatype", list(DATATYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 3)])
def test_answers_are_byte_for_byte_those_of_the_long_way(datatype: str, shape: tuple[int, ...]) -> None:
    dice = np.random.default_rng(0)
    raw = (dice.standard_normal((2, *shape)) * 3).astype(bool if datatype == "BOOL" else numpy_dtype(datatype))
    arrays, names = [np.asarray(raw[0]), np.asarray(raw[1])], ["y", 'quo"te\u00e9']
    if not ReplyForm.fits(arrays):
        assert datatype in ("BYTES", "FP16", "BF16")
        return
    form = ReplyForm('a"model', "7", names, arrays)
    for pair in (arrays, arrays[::-1]):
        assert form.write(pair) == long_way(names, pair)
    if len(shape) == 2:
        wide = np.asfortranarray(raw[0])
        assert form.write([wide, raw[1]]) == long_way(names, [wide, raw[1]])


def test_answers_that_a_form_leaves_alone() -> None:
    plain = np.zeros(2, np.float32)
    form = ReplyForm("m", "1", ["y"], [plain])
    for value in (np.nan, np.inf, -np.inf):
        assert form.write([np.array([0, value], np.float32)]) is None
    assert form.write([plain]) is not None
    assert not ReplyForm.fits([]) and not ReplyForm.fits([np.array([b"a"], object)])
