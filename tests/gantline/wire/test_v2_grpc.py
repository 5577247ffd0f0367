"""Infer messages over gRPC, whole: every datatype raw and typed, parameters, and every way to be wrong."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadArtefact, BadRequest, GantlineError
from gantline.pb import message
from gantline.request import Parameter, Reply, Request, RequestedOutput
from gantline.tensors import DATATYPES, Array, numpy_dtype
from gantline.wire.v2_grpc import SLOW, decode_reply, encode_reply, encode_request, is_slow, parse


def new_request(**fields: Any) -> Any:
    return message("inference.ModelInferRequest")(**fields)


def decoded(found: Any) -> Request:
    return parse(found.SerializeToString()).request()


def typed(datatype: str, values: list[Any], shape: list[int] | None = None, field: str | None = None) -> Any:
    out = new_request(model_name="m")
    tensor = out.inputs.add(name="x", datatype=datatype, shape=[len(values)] if shape is None else shape)
    getattr(tensor.contents, field or DATATYPES[datatype].contents or "fp32_contents").extend(values)
    return out


def raw(datatype: str, blob: bytes, shape: list[int]) -> Any:
    out = new_request(model_name="m")
    out.inputs.add(name="x", datatype=datatype, shape=shape)
    out.raw_input_contents.append(blob)
    return out


def every_datatype(rows: int = 2) -> dict[str, Array]:
    out: dict[str, Array] = {}
    for name in DATATYPES:
        if name == "BYTES":
            out[name] = np.array([[b"a", b""], ["\xe9".encode(), b"nul\0"]] * (rows // 2), object)
        else:
            out[name] = np.array([[0, 1], [1, 0]] * (rows // 2)).astype(numpy_dtype(name))
    return out


def same(got: Array, want: Array) -> bool:
    return got.dtype == want.dtype and got.shape == want.shape and got.tolist() == want.tolist()


# -- round trips


@pytest.mark.parametrize("rows", [2, 4000])
def test_a_request_round_trip(rows: int) -> None:
    """Short ones are protobuf's work alone; from long ones the tensors are taken by hand."""
    asked = [RequestedOutput("a"), RequestedOutput("b", None, 3)]
    parameters: dict[str, Parameter] = {"p": 1, "q": "r", "t": True, "f": 1.5, "u": 1 << 63}
    sent = Request(every_datatype(rows), "m", "2", "7", parameters, asked)
    envelope = parse(encode_request(sent))
    assert (envelope.model, envelope.version, envelope.id) == ("m", "2", "7")
    got = envelope.request()
    assert (got.model, got.version, got.id, got.parameters) == ("m", "2", "7", parameters)
    assert list(got.inputs) == list(sent.inputs)
    assert all(same(got.inputs[k], v) for k, v in sent.inputs.items())
    assert got.outputs is not None and [(o.name, o.classes) for o in got.outputs] == [("a", 0), ("b", 3)]


@pytest.mark.parametrize("rows", [2, 4000])
def test_a_reply_round_trip(rows: int) -> None:
    outputs = list(every_datatype(rows).items())
    data = encode_reply(Reply("m", "1", outputs, "7", {"triton_final_response": True}))
    got = decode_reply(data)
    assert (got.model, got.version, got.id, got.parameters) == ("m", "1", "7", {"triton_final_response": True})
    assert [n for n, _ in got.outputs] == [n for n, _ in outputs]
    assert all(same(a, b) for (_, a), (_, b) in zip(got.outputs, outputs, strict=True))
    found = message("inference.ModelInferResponse").FromString(data)
    assert len(found.raw_output_contents) == len(found.outputs) and not any(
        o.HasField("contents") for o in found.outputs
    )


def test_every_output_has_an_entry_even_an_empty_one() -> None:
    big = np.zeros(10_000, np.float32)
    cases: list[list[Array]] = [[np.zeros((0, 3)), np.ones(1)], [np.zeros((0, 3)), big, np.zeros(0, object)]]
    for outputs in cases:
        data = encode_reply(Reply("m", "1", [(str(i), a) for i, a in enumerate(outputs)]))
        found = message("inference.ModelInferResponse").FromString(data)
        assert [len(r) for r in found.raw_output_contents] == [a.nbytes if a.dtype != object else 0 for a in outputs]
        assert [tuple(o.shape) for o in found.outputs] == [a.shape for a in outputs]
        assert found.id == ""


def test_arrays_that_are_not_in_a_row_are_sent_in_order() -> None:
    array = np.arange(6000, dtype=np.int32).reshape(60, 100).T[::2]
    ((_, got),) = decode_reply(encode_reply(Reply("m", "1", [("y", array)]))).outputs
    assert same(got, array)


@pytest.mark.parametrize("datatype", [d for d in DATATYPES if DATATYPES[d].contents])
def test_typed_contents(datatype: str) -> None:
    if datatype == "BYTES":
        values: list[Any] = [b"a", b"\xff\0", b""]
    elif datatype == "BOOL":
        values = [True, False, True]
    elif datatype.startswith("FP"):
        values = [1.5, -0.0, float("inf")]
    else:
        limits = np.iinfo(DATATYPES[datatype].numpy)
        values = [int(limits.min), int(limits.max), 1]
    got = decoded(typed(datatype, values, [3, 1])).inputs["x"]
    assert got.dtype == numpy_dtype(datatype) and got.shape == (3, 1) and got.ravel().tolist() == values


def test_a_long_request_is_not_copied() -> None:
    array = np.arange(100_000, dtype=np.float32)
    data = encode_request(Request({"x": array}, "m"))
    got = parse(data).request().inputs["x"]
    assert np.shares_memory(got, np.frombuffer(data, np.uint8)) and same(got, array)


def test_what_an_empty_message_says() -> None:
    got = decoded(new_request(model_name="m"))
    assert (got.inputs, got.id, got.parameters, got.outputs, got.version) == ({}, None, None, None, "")
    empty = new_request(model_name="m")
    empty.inputs.add(name="x", datatype="FP32", shape=[0, 4])
    assert decoded(empty).inputs["x"].shape == (0, 4)


def test_fields_in_any_order() -> None:
    """Serializers may write them as they like; an unknown field is passed over."""
    blob = np.arange(2000, dtype=np.float32)
    whole = new_request(model_name="m", id="7")
    whole.inputs.add(name="a", datatype="FP32", shape=[2000])
    whole.inputs.add(name="b", datatype="INT8", shape=[1])
    head = whole.SerializeToString()
    b = new_request(raw_input_contents=[blob.tobytes()]).SerializeToString()
    c = new_request(raw_input_contents=[b"\x05"]).SerializeToString()
    unknown = b"\xf8\x07\x01" + b"\xf9\x07" + b"\0" * 8 + b"\xfd\x07" + b"\0" * 4  # field 127: varint, fixed64, fixed32
    for data in (b + unknown + head + c, unknown + b + c + head, head + b + unknown + c):
        got = parse(data).request()
        assert same(got.inputs["a"], blob) and got.inputs["b"].tolist() == [5] and got.id == "7"


def test_what_is_slow_to_read() -> None:
    assert not is_slow(raw("FP32", b"\0" * 100, [25]).SerializeToString())
    assert not is_slow(raw("FP32", b"\0" * 4 * SLOW, [SLOW]).SerializeToString())
    assert is_slow(raw("BYTES", b"\0" * 4 * SLOW, [SLOW]).SerializeToString())
    assert is_slow(typed("FP32", [1.0] * SLOW).SerializeToString())
    assert is_slow(b"\xff" * 2 * SLOW)


# -- what is wrong


def twice() -> Any:
    out = raw("FP32", b"\0" * 4, [1])
    out.inputs.add(name="x", datatype="FP32", shape=[1])
    out.raw_input_contents.append(b"\0" * 4)
    return out


def both() -> Any:
    out = typed("FP32", [1.0])
    out.raw_input_contents.append(b"\0" * 4)
    return out


def one_short() -> Any:
    out = raw("FP32", b"\0" * 4, [1])
    out.inputs.add(name="y", datatype="FP32", shape=[1])
    return out


def one_more() -> Any:
    out = raw("FP32", b"\0" * 4, [1])
    out.raw_input_contents.append(b"")
    return out


def no_value() -> Any:
    out = raw("FP32", b"\0" * 4, [1])
    out.parameters["p"].SetInParent()
    return out


def bad_classes(value: int | str) -> Any:
    out = raw("FP32", b"\0" * 4, [1])
    parameter = out.outputs.add(name="y").parameters["classification"]
    if isinstance(value, str):
        parameter.string_param = value
    else:
        parameter.int64_param = value
    return out


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: raw("FP31", b"", [0]), "input 'x': datatype 'FP31' is unknown; known: BOOL"),
        (lambda: raw("FP32", b"\0" * 7, [2]), "input 'x': shape [2] of FP32 needs 8 bytes, binary data has 7"),
        (lambda: raw("FP32", b"", [-1]), "shape [-1] has a size that is not a whole number"),
        (lambda: raw("FP32", b"", [0, 1 << 62]), "has more elements than any message can carry"),
        (lambda: raw("FP32", b"", [1] * 33), "33 dimensions; at most 32"),
        (lambda: raw("BYTES", b"\x05\0\0\0ab", [1]), "element 0 says 5 bytes, only 2 are left"),
        (twice, "input 'x' is given twice"),
        (both, "input 'x': contents must not be given beside raw_input_contents"),
        (one_short, "input 'y': raw_input_contents has only 1 entries; expected one each"),
        (one_more, "raw_input_contents has 2 entries for 1 inputs; expected one each"),
        (no_value, "parameter 'p' of the request has no value"),
        (lambda: bad_classes(-1), "output 'y': \"classification\" must be a whole number from 1 up"),
        (lambda: bad_classes("3"), "output 'y': \"classification\" must be a whole number from 1 up"),
        (lambda: typed("FP16", [1.0]), "FP16 has no typed contents; send it in raw_input_contents"),
        (lambda: typed("BF16", [1.0]), "BF16 has no typed contents"),
        (lambda: typed("FP64", [1.0], None, "fp32_contents"), "must be in fp64_contents, found fp32_contents"),
        (lambda: typed("FP32", [1.0], [2]), "shape [2] needs 2 elements, fp32_contents has 1"),
        (lambda: typed("INT8", [128]), "a value is outside INT8's range -128..127"),
        (lambda: typed("INT16", [-32769]), "a value is outside INT16's range"),
        (lambda: typed("UINT8", [256]), "a value is outside UINT8's range 0..255"),
    ],
)
def test_what_is_wrong_is_said(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(BadRequest) as raised:
        decoded(make())
    assert says in raised.value.message and "\n" not in raised.value.message


def test_what_is_no_message() -> None:
    good = raw("FP32", b"\0" * 8000, [2000]).SerializeToString()
    for data in (b"\xff\xff", b"\n\x02\xff\xfe", good[:-1], good + b"\x0b", good + b"\x0a\xff", b"\xff" * 5000):
        with pytest.raises(BadRequest, match=r"the message is not an inference\.ModelInferRequest: \S.*$"):
            parse(data)


def test_an_answer_that_is_none() -> None:
    with pytest.raises(BadArtefact, match=r"not an inference\.ModelInferResponse"):
        decode_reply(b"\xff")
    reply = message("inference.ModelInferResponse")(raw_output_contents=[b"a"])
    with pytest.raises(BadArtefact, match="1 raw outputs for 0 outputs"):
        decode_reply(reply.SerializeToString())
    reply.outputs.add(name="y", datatype="FP32", shape=[3])
    with pytest.raises(BadArtefact, match="needs 12 bytes"):
        decode_reply(reply.SerializeToString())


@given(st.data())
def test_damage_never_raises_anything_else(data: st.DataObject) -> None:
    rows = data.draw(st.sampled_from([2, 600]))
    good = bytearray(encode_request(Request(every_datatype(rows), "m", "1", "7", {"p": 1}, [RequestedOutput("a")])))
    chance = random.Random(data.draw(st.integers(0, 1 << 30)))
    for _ in range(chance.randint(1, 4)):
        good[chance.randrange(len(good))] = chance.randrange(256)
    damaged = bytes(good[: chance.randint(0, len(good))]) if chance.random() < 0.3 else bytes(good)
    with contextlib.suppress(GantlineError):
        parse(damaged).request()
    is_slow(damaged)
