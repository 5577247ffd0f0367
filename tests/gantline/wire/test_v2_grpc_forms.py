"""Forms of gRPC's messages: read and written by them is what the long way reads and writes, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantline.errors import GantlineError
from gantline.pb import message
from gantline.request import Reply, Request
from gantline.tensors import DATATYPES, Array, numpy_dtype
from gantline.wire.v2_grpc import encode_reply, encode_request, parse
from gantline.wire.v2_grpc_forms import MAX_AROUND, MAX_BYTES, ReplyForm, RequestForm

FIXED = sorted(set(DATATYPES) - {"BYTES"})


def form_of(data: bytes) -> RequestForm | None:
    return RequestForm.of(data, parse(data).request())


def known(data: bytes) -> RequestForm:
    form = form_of(data)
    assert form is not None
    return form


def asked(inputs: dict[str, Array], **more: Any) -> bytes:
    return encode_request(Request(inputs, "m", "3", **more))


def same(got: Array, want: Array) -> bool:
    return got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


def check(form: RequestForm, data: bytes) -> bool:
    """Whether a message is read by a form; then the long way must give exactly the same request."""
    found = form.read(data)
    if found is None:
        return False
    request = parse(data).request()
    assert list(found) == list(request.inputs)
    assert all(same(found[name], array) for name, array in request.inputs.items())
    assert (request.model, request.version, request.id, request.parameters) == ("m", "3", None, None)
    return True


@pytest.mark.parametrize("datatype", FIXED)
def test_other_numbers_in_the_same_place(datatype: str) -> None:
    dtype = numpy_dtype(datatype)
    form = known(asked({"x": np.array([[0, 1, 0]]).astype(dtype)}))
    assert check(form, asked({"x": np.array([[1, 1, 0]]).astype(dtype)}))
    assert not check(form, asked({"x": np.array([[1], [1], [0]]).astype(dtype)}))  # as long, and of another shape
    assert not check(form, asked({"y": np.array([[1, 1, 0]]).astype(dtype)}))
    assert not check(form, asked({"x": np.array([[1, 1]]).astype(dtype)}))


def test_several_tensors_and_a_scalar() -> None:
    def some(n: float) -> dict[str, Array]:
        return {"a": np.full((2, 2), n, np.float32), "b": np.array(n, np.int8), "c": np.full(3, n, np.uint16)}

    form = known(asked(some(1)))
    assert check(form, asked(some(7)))
    swapped = some(7)
    swapped["c"] = swapped.pop("a").reshape(4)[:3].astype(np.uint16)
    assert not check(form, asked(swapped))


def test_what_follows_the_tensors_counts_too() -> None:
    """protobuf lets fields come in any order."""
    data = asked({"x": np.array([1.0], np.float32)})
    name = message("inference.ModelInferRequest")(model_name="m").SerializeToString()
    assert data.startswith(name)
    turned = data[len(name) :] + name
    form = known(turned)
    assert check(form, turned)
    assert not check(form, turned[:-1] + b"n") and not check(form, data)


@pytest.mark.parametrize(
    "more", [{"id": "7"}, {"parameters": {"sequence_id": 3}}, {"parameters": {"timeout": 5}}], ids=str
)
def test_a_message_that_asks_for_more_has_no_form(more: dict[str, Any]) -> None:
    assert form_of(asked({"x": np.array([1.0], np.float32)}, **more)) is None


def test_text_and_typed_lists_and_no_inputs_have_no_form() -> None:
    assert form_of(asked({"x": np.array([b"a"], object)})) is None
    assert form_of(asked({"x": np.array([b"a"], object), "y": np.array([1.0])})) is None
    assert form_of(asked({})) is None
    typed = message("inference.ModelInferRequest")(model_name="m")
    typed.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1.0)
    assert form_of(typed.SerializeToString()) is None


def test_much_around_little_is_not_kept() -> None:
    assert form_of(asked({"x" * MAX_AROUND: np.array([1.0])})) is None
    assert form_of(asked({"x": np.zeros(MAX_AROUND, np.float64)})) is not None


@settings(max_examples=400)
@given(
    at=st.integers(0, 80), byte=st.integers(0, 255), cut=st.integers(0, 3), numbers=st.binary(min_size=8, max_size=8)
)
def test_damaged_messages(at: int, byte: int, cut: int, numbers: bytes) -> None:
    """One byte changed anywhere, or some missing: read as the long way reads it, or left to that."""
    data = bytearray(asked({"x": np.frombuffer(numbers, np.float32)}))
    form = known(asked({"x": np.zeros(2, np.float32)}))
    data[at % len(data)] = byte
    changed = bytes(data[: len(data) - cut])
    try:
        parse(changed).request()
    except GantlineError:
        assert form.read(changed) is None
    else:
        check(form, changed)


# -- answers


def outputs(n: float, datatypes: list[str]) -> list[tuple[str, Array]]:
    return [(f"y{i}", np.full((2, i), n).astype(numpy_dtype(d))) for i, d in enumerate(datatypes)]


@pytest.mark.parametrize("datatypes", [["FP32"], ["INT64", "FP32"], FIXED], ids=len)
def test_answers_to_the_byte(datatypes: list[str]) -> None:
    first, second = outputs(0, datatypes), outputs(1, datatypes)
    names = [name for name, _ in first]
    assert ReplyForm.fits([a for _, a in first])
    form = ReplyForm("m", "12", names, [a for _, a in first])
    for found in (first, second):
        assert form.write([a for _, a in found]) == encode_reply(Reply("m", "12", found))


@pytest.mark.parametrize("size", [3, 4000, MAX_BYTES])
def test_answers_that_are_joined_by_hand(size: int) -> None:
    arrays: list[Array] = [np.arange(size, dtype=np.int8), np.array(5.0)]
    assert ReplyForm.fits(arrays) is (size < MAX_BYTES)
    if ReplyForm.fits(arrays):
        named = [("a", arrays[0]), ("b", arrays[1])]
        assert ReplyForm("m", "1", ["a", "b"], arrays).write(arrays) == encode_reply(Reply("m", "1", named))


def test_rows_that_do_not_lie_one_after_the_other() -> None:
    wide = np.arange(12, dtype=np.float32).reshape(3, 4)
    for array in (wide[:, 1:3], wide.T):
        form = ReplyForm("m", "1", ["y"], [array])
        assert form.write([array]) == encode_reply(Reply("m", "1", [("y", array)]))


def test_answers_without_a_form() -> None:
    assert not ReplyForm.fits([]) and not ReplyForm.fits([np.array([b"a"], object)])
