"""Forms: what is remembered of a model's last messages, and that it is bounded and never wrong."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from gantline.serve.exchange import Head, Responder
from gantline.serve.forms import _MAX_REPLIES, _PATIENCE, Forms
from gantline.serve.ticket import Ticket

from gantline.wire.v2 import decode_request

HEAD = Head(b"POST", b"/", b"", [])


def body(name: str = "x", data: str = "[1,2]") -> bytes:
    return f'{{"inputs":[{{"name":"{name}","datatype":"FP32","shape":[1,2],"data":{data}}}]}}'.encode()


def ticket(raw: bytes) -> Ticket:
    nobody = cast(Responder, SimpleNamespace(closed=False))
    return Ticket(decode_request(raw), 1, "key", ("y",), HEAD, nobody, lambda *_: None, None)


def test_what_was_found_out_is_kept_with_the_form() -> None:
    forms = Forms("m", "1")
    assert forms.like is None
    forms.remember(body(), ticket(body()))
    assert forms.like is not None
    assert (forms.like.rows, forms.like.key, forms.like.outputs) == (1, "key", ("y",))
    again = forms.like.form.read(body(data="[3.5, 4]"))
    assert again is not None
    assert again.tolist() == [[3.5, 4.0]]


def test_a_form_in_use_gives_way_only_after_many_others() -> None:
    forms = Forms("m", "1")
    forms.remember(body("x"), ticket(body("x")))
    for _ in range(_PATIENCE - 1):
        forms.remember(body("z"), ticket(body("z")))
    assert forms.like is not None
    assert forms.like.form.name == "x"
    forms.remember(body("z"), ticket(body("z")))
    assert forms.like.form.name == "z"


def test_a_body_without_a_form_leaves_the_old_one() -> None:
    forms = Forms("m", "1")
    forms.remember(body(), ticket(body()))
    with_id = body()[:-1] + b',"id":"7"}'
    for _ in range(_PATIENCE):
        forms.remember(with_id, ticket(with_id))
    assert forms.like is not None
    assert forms.like.form.name == "x"


def written(forms: Forms, *arrays: Any) -> Any:
    found = forms.reply([f"o{i}" for i in range(len(arrays))], arrays)
    return None if found is None else json.loads(found)


def test_an_answer_is_what_the_long_way_writes() -> None:
    found = written(Forms("m", "3"), np.array([[1, 2]], np.int64), np.array([0.1], np.float32))
    assert found == {
        "model_name": "m",
        "model_version": "3",
        "outputs": [
            {"name": "o0", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]},
            {"name": "o1", "datatype": "FP32", "shape": [1], "data": [0.1]},
        ],
    }


def test_other_datatypes_in_the_same_shape_are_another_form() -> None:
    forms = Forms("m", "1")
    assert written(forms, np.array([1], np.int64))["outputs"][0]["datatype"] == "INT64"
    assert written(forms, np.array([1.5], np.float32))["outputs"][0] == {
        "name": "o0", "datatype": "FP32", "shape": [1], "data": [1.5],
    }  # fmt: skip


def test_nan_and_text_take_the_long_way() -> None:
    forms = Forms("m", "1")
    assert written(forms, np.array([1.0])) is not None
    assert written(forms, np.array([np.nan])) is None
    assert written(forms, np.array([np.inf])) is None
    assert written(forms, np.array([b"a"], object)) is None
    assert written(forms, np.array([1.5], np.float16)) is None


def test_reply_forms_are_bounded() -> None:
    forms = Forms("m", "1")
    for rows in range(1, 3 * _MAX_REPLIES):
        assert len(written(forms, np.zeros(rows))["outputs"][0]["data"]) == rows
        assert len(forms._replies) <= _MAX_REPLIES
