"""Infer messages, whole: requests and replies, JSON with and without binary tensors, and every way to be wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadArtefact, BadRequest, GantlineError, TooLarge
from gantline.request import Reply, Request, RequestedOutput
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, Array, numpy_dtype
from gantline.wire.v2 import (
    decode_raw,
    decode_reply,
    decode_request,
    dump_json,
    encode_reply,
    encode_request,
    parse_json,
)


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2], **changes}


def request(*tensors: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


def binary(tensors: list[Any], blobs: bytes, **more: Any) -> tuple[bytes, int]:
    head = request(*tensors, **more)
    return head + blobs, len(head)


def every_datatype() -> dict[str, Array]:
    out: dict[str, Array] = {}
    for name in DATATYPES:
        if name == "BYTES":
            out[name] = np.array([[b"a", b""], ["\xe9".encode(), b"null NaN"]], object)
        else:
            out[name] = np.array([[0, 1], [1, 0]]).astype(numpy_dtype(name))
    return out


# -- round trips


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_request_round_trip(as_bytes: bool) -> None:
    asked = [RequestedOutput("a", True), RequestedOutput("b", False, 3), RequestedOutput("c")]
    sent = Request(every_datatype(), id="7", parameters={"p": 1, "q": "r", "t": True, "f": 1.5}, outputs=asked)
    sent.binary_output = True
    body, length = encode_request(sent, as_bytes)
    assert (length is not None) == as_bytes
    got = decode_request(body, length)
    assert list(got.inputs) == list(sent.inputs)
    for name, array in sent.inputs.items():
        found = got.inputs[name]
        assert found.dtype == array.dtype and found.shape == array.shape and found.tolist() == array.tolist()
    assert (got.id, got.binary_output) == ("7", True)
    assert got.parameters == {"p": 1, "q": "r", "t": True, "f": 1.5, "binary_data_output": True}
    assert got.outputs is not None
    assert [(o.name, o.binary, o.classes) for o in got.outputs] == [("a", True, 0), ("b", False, 3), ("c", None, 0)]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_reply_round_trip(as_bytes: bool) -> None:
    arrays = every_datatype()
    sent = Reply("m", "3", list(arrays.items()), "id", {"k": 1})
    body, length = encode_reply(sent, Request({}, binary_output=as_bytes))
    assert (length is not None) == as_bytes
    got = decode_reply(body, length)
    assert (got.model, got.version, got.id, got.parameters) == ("m", "3", "id", {"k": 1})
    for (name, array), (found_name, found) in zip(arrays.items(), got.outputs, strict=True):
        assert name == found_name and found.dtype == array.dtype and found.tolist() == array.tolist()


def test_outputs_say_for_themselves_whether_they_are_binary() -> None:
    array = np.array([1, 2], np.float32)
    asked = [RequestedOutput("a", True), RequestedOutput("b", False), RequestedOutput("c")]
    for default in (False, True):
        body, length = encode_reply(
            Reply("m", "1", [(n, array) for n in "abc"]), Request({}, outputs=asked, binary_output=default)
        )
        entries = json.loads(body[:length])["outputs"]
        assert ["data" in e for e in entries] == [False, True, not default]
        assert [e["parameters"]["binary_data_size"] for e in entries if "parameters" in e] == [8] * (1 + default)


def test_empty_binary_outputs_need_no_header() -> None:
    body, length = encode_reply(Reply("m", "1", [("y", np.zeros((0, 2), np.float32))]), Request({}, binary_output=True))
    assert length is None
    (entry,) = json.loads(body)["outputs"]
    assert entry == {"name": "y", "datatype": "FP32", "shape": [0, 2], "parameters": {"binary_data_size": 0}}


def test_the_order_of_keys_and_nothing_that_was_not_asked_for() -> None:
    body, _ = encode_reply(Reply("m", "1", [("y", np.array([1.5], np.float32))]), Request({}))
    assert body == (
        b'{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1.5]}]}'
    )


@given(st.lists(st.floats(width=32), max_size=20), st.text())
def test_nan_and_infinity_are_written_as_such(values: list[float], name: str) -> None:
    body, _ = encode_reply(Reply(name, "1", [(name, np.array(values, np.float32))], id=name), Request({}))
    assert np.array_equal(decode_reply(body).outputs[0][1], np.array(values, np.float32), equal_nan=True)
    assert decode_reply(body).id == name and b"null" not in body.replace(dump_json(name)[1:-1], b"")


# -- JSON itself


def test_documents() -> None:
    assert parse_json(b'{"a": [1, NaN, Infinity, -Infinity]}')["a"][2:] == [math.inf, -math.inf]
    assert parse_json(b"[NaN, 1e308, -1e-400, 1e0003]")[1:] == [1e308, 0.0, 1000.0]
    assert parse_json(b'["NaN", null]') == ["NaN", None]
    assert parse_json(b'[NaN, "\\u00e9"]')[1] == "\xe9"
    assert parse_json(memoryview(b"[1]")) == [1]


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"{", b"[1,]", b"[1 2]", b"{'a': 1}", b"[01]", b"[1] x", b"\xff", b'["\xff"]', b"[nan]",
        b"[+1]", b'["\xed\xa0\x80", NaN]', b'["\\ud800", NaN]', b'["\\ud800"]', b"[NaN", b"\xef\xbb\xbf[NaN]",
        b"[1e999]", b"[NaN, 1" + b"0" * 5000 + b"]", '["NaN"]'.encode("utf-16"), b"[1]\0",
        b"[NaN, 1e400]", b"[NaN, -1E+0400]", b"[NaN, -" + b"9" * 250 + b"e99]", b"[NaN, " + b"9" * 309 + b".0]",
    ],
)  # fmt: skip
def test_what_is_not_json(text: bytes) -> None:
    with pytest.raises(BadRequest) as raised:
        parse_json(text)
    assert "\n" not in raised.value.message and len(raised.value.message) < 200


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[" * 5000 + b"NaN" + b"]" * 5000, b'{"a":' * 100_000])
def test_nesting_bombs(text: bytes) -> None:
    with pytest.raises(TooLarge, match="nested too deeply"):
        parse_json(text)
    with pytest.raises(GantlineError):
        decode_request(b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":' + text + b"}]}")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_an_error(raw: bytes) -> None:
    for body, length in ((raw, None), (raw, len(raw) // 2)):
        try:
            decode_request(body, length)
        except GantlineError as e:
            assert e.message and "\n" not in e.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), json_values),
    st.sampled_from(["name", "shape", "datatype", "data", "parameters", "id", "outputs", "inputs", "top"]),
    json_values,
)
def test_any_document_is_a_request_or_an_error(changes: dict[str, Any], key: str, value: Any) -> None:
    document: dict[str, Any] = {"inputs": [tensor(**changes)]}
    document = value if key == "top" else {**document, key: value}
    try:
        decode_request(json.dumps(document).encode())
    except GantlineError as e:
        assert e.message and "\n" not in e.message


# -- requests that are wrong


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", 'not a JSON object with "inputs"'),
        (b"{}", 'no list "inputs"'),
        (b'{"inputs": {}}', 'no list "inputs"'),
        (request(1), "an input is not a JSON object"),
        (request([]), "an input is not a JSON object"),
        (request({}), 'an input has no "name"'),
        (request({"name": "x", "datatype": "FP32"}), 'an input has no "shape"'),
        (request(tensor(name=1)), '"name" is not a string'),
        (request(tensor(datatype="FLOAT")), "datatype 'FLOAT' is unknown; known: BOOL, UINT8"),
        (request(tensor(datatype=["FP32"])), "datatype .* is unknown"),
        (request(tensor(shape=2)), '"shape" must be a list of at most 32 sizes'),
        (request(tensor(shape=[1] * 33)), '"shape" must be a list of at most 32 sizes'),
        (request(tensor(shape=[-1])), "a size that is not a whole number from 0 up"),
        (request(tensor(shape=[2.0])), "a size that is not a whole number from 0 up"),
        (request(tensor(shape=[True])), "a size that is not a whole number from 0 up"),
        (request(tensor(shape=["2"])), "a size that is not a whole number from 0 up"),
        (request(tensor(shape=[1 << 41])), "more elements than any body can carry"),
        (request(tensor(shape=[1 << 21, 1 << 21])), "more elements than any body can carry"),
        (request(tensor(shape=[0, 1 << 62], data=[])), "more elements than any body can carry"),
        (request(tensor(shape=[0] + [1 << 30] * 4, data=[])), "more elements than any body can carry"),
        (request(tensor(shape=[3])), r"shape \[3\] needs 3 elements, data has 2"),
        (request({"name": "x", "shape": [1], "datatype": "FP32"}), 'neither "data" nor "binary_data_size"'),
        (request(tensor(), tensor()), "input 'x' is given twice"),
        (request(tensor(parameters={"binary_data_size": 8})), "there is no Inference-Header-Content-Length header"),
        (request(tensor(), id=7), '"id" must be a string'),
        (request(tensor(), parameters=[1]), '"parameters" of the request must be an object'),
        (request(tensor(), parameters={"a": None}), "parameter 'a' of the request must be a string, number or boolean"),
        (request(tensor(), parameters={"a": [1]}), "parameter 'a' of the request"),
        (request(tensor(), parameters={"binary_data_output": 1}), '"binary_data_output" must be true or false'),
        (request(tensor(), outputs={}), '"outputs" must be a list'),
        (request(tensor(), outputs=[1]), 'an entry of "outputs" has no "name"'),
        (request(tensor(), outputs=[{}]), 'an entry of "outputs" has no "name"'),
        (request(tensor(), outputs=[{"name": "y", "parameters": {"binary_data": 1}}]), '"binary_data" must be true'),
        (request(tensor(), outputs=[{"name": "y", "parameters": {"classification": -1}}]), '"classification" must be'),
        (request(tensor(), outputs=[{"name": "y", "parameters": {"classification": True}}]), '"classification" must'),
        (request(tensor(), outputs=[{"name": "y", "parameters": 1}]), "\"parameters\" of output 'y' must be an object"),
    ],
)
def test_wrong_requests(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as raised:
        decode_request(body)
    assert "\n" not in raised.value.message


def test_what_may_be_left_out_or_empty() -> None:
    got = decode_request(request(tensor(), outputs=[], parameters={}, id=None, unknown=[{}]))
    assert got.outputs is None and got.id is None and not got.parameters and not got.binary_output
    assert decode_request(request(tensor(parameters=None))).inputs["x"].tolist() == [1, 2]
    assert decode_request(b'{"inputs": []}').inputs == {}
    assert decode_request(request(tensor(parameters={"k": 1}), parameters=None, outputs=None)).parameters is None


# -- binary tensors

SIZED = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}


def test_binary_and_json_tensors_in_one_request() -> None:
    last = {**SIZED, "name": "z", "datatype": "INT16", "parameters": {"binary_data_size": 4}}
    body, length = binary([SIZED, tensor(name="y"), last], np.array([3, 4], "<f4").tobytes() + b"\5\0\6\0")
    got = decode_request(body, length).inputs
    assert [got[n].tolist() for n in "xyz"] == [[3, 4], [1, 2], [5, 6]]


@pytest.mark.parametrize(
    ("blobs", "size", "said"),
    [
        (bytes(7), 8, "unexpected size for input: 8 bytes expected, 7 are left"),
        (bytes(9), 8, "unexpected additional input data: 1 bytes"),
        (bytes(8), 7, r"shape \[2\] of FP32 needs 8 bytes, binary data has 7"),
        (bytes(9), 9, r"shape \[2\] of FP32 needs 8 bytes, binary data has 9"),
        (b"", 0, r"needs 8 bytes, binary data has 0"),
        (bytes(8), -8, "binary_data_size must be a whole number"),
        (bytes(8), 8.0, "binary_data_size must be a whole number"),
        (bytes(8), "8", "binary_data_size must be a whole number"),
        (bytes(8), True, "binary_data_size must be a whole number"),
        (bytes(8), 1 << 63, "unexpected size for input"),
    ],
)
def test_byte_counts_that_are_off(blobs: bytes, size: Any, said: str) -> None:
    body, length = binary([{**SIZED, "parameters": {"binary_data_size": size}}], blobs)
    with pytest.raises(BadRequest, match=said):
        decode_request(body, length)


def test_data_given_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match='input \'x\' has "data" and "binary_data_size"; send one of them'):
        decode_request(*binary([{**SIZED, "data": [3, 4]}], bytes(8)))
    assert decode_request(*binary([{**SIZED, "data": []}], bytes(8))).inputs["x"].tolist() == [0, 0]  # nothing is given


def test_header_lengths_that_are_off() -> None:
    body, length = binary([SIZED], bytes(8))
    with pytest.raises(BadRequest, match=f"Content-Length is {len(body) + 1}, the body has {len(body)} bytes"):
        decode_request(body, len(body) + 1)
    for wrong in (length - 1, length + 1, len(body)):
        with pytest.raises(BadRequest):
            decode_request(body, wrong)


# -- raw requests


def spec(*shape: int, datatype: str = "FP32") -> Signature:
    return Signature((TensorSpec("x", datatype, shape),), ())


@pytest.mark.parametrize(
    ("signature", "body", "shape"),
    [
        (spec(-1, 2), bytes(8), (1, 2)),
        (spec(-1, -1), bytes(12), (1, 3)),
        (spec(2, -1, datatype="INT16"), bytes(12), (2, 3)),
        (spec(3), bytes(12), (3,)),
        (spec(-1, 0), b"", (1, 0)),
        (spec(-1, -1, datatype="BYTES"), b"any text", (1, 1)),
        (spec(1, datatype="BYTES"), b"", (1,)),
    ],
)
def test_a_raw_body_is_the_only_input(signature: Signature, body: bytes, shape: tuple[int, ...]) -> None:
    got = decode_raw(body, signature, "m")
    assert got.inputs["x"].shape == shape and got.binary_output
    if signature.inputs[0].datatype == "BYTES":
        assert got.inputs["x"].ravel().tolist() == [body]


@pytest.mark.parametrize(
    ("signature", "body", "said"),
    [
        (Signature((), ()), b"", "has 0 inputs; a raw binary request needs exactly one"),
        (Signature(spec(1).inputs * 2, ()), b"", "has 2 inputs"),
        (spec(-1, -1, -1), bytes(8), "several free dimensions"),
        (spec(-1, 2), bytes(7), "needs 8 bytes, binary data has 7"),
        (spec(-1, 2), bytes(16), "needs 8 bytes, binary data has 16"),
        (spec(-1, -1), bytes(7), "binary data has 7"),
        (spec(2, datatype="BYTES"), b"ab", "needs 2 elements"),
    ],
)
def test_raw_bodies_that_do_not_fit(signature: Signature, body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        decode_raw(body, signature, "m")


# -- answers that are none


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"outputs": 1}', b'{"outputs": [1]}', b'{"outputs": [{"name": "y"}]}', b"<html>",
     b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}]}',
     b'{"outputs": [{"name": "y", "datatype": "X", "shape": [1], "data": [1]}]}'],
)  # fmt: skip
def test_answers_that_are_not_ours(body: bytes) -> None:
    with pytest.raises(BadArtefact, match="not a V2 infer answer"):
        decode_reply(body)
