"""Requests of different lengths in one feed, and their answers in their own length."""

from __future__ import annotations

import numpy as np
import pytest
from gantline.accelerators.padding import Padding

from gantline.errors import BadArtefact
from gantline.manifest import Batching
from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature(
    (
        TensorSpec("x", "FP32", (-1, -1, 2)),
        TensorSpec("mask", "INT64", (-1, -1)),
        TensorSpec("k", "FP32", (-1, 1)),
        TensorSpec("words", "BYTES", (-1, -1)),
    ),
    (TensorSpec("y", "FP32", (-1, -1, 5)), TensorSpec("z", "FP32", (-1, 1))),
)


def padding(mask: str = "mask", **unpad: str) -> Padding:
    return Padding(Batching(64, {"x": -1.0}, mask, unpad or {"y": "x"}), SIGNATURE, "here")


def request(rows: int, length: int) -> dict[str, np.ndarray]:
    return {"x": np.full((rows, length, 2), length, np.float32), "k": np.zeros((rows, 1), np.float32)}


def test_a_mask_is_made_where_there_is_none() -> None:
    made = padding().complete(request(2, 3))
    assert made["mask"].tolist() == [[1, 1, 1]] * 2 and made["mask"].dtype == np.int64
    own = {**request(1, 2), "mask": np.array([[1, 0]])}
    assert padding().complete(own) is own and padding(mask="").complete(own) is own
    assert [t.name for t in padding().served(SIGNATURE).inputs if t.optional] == ["mask"]


def test_there_and_back() -> None:
    pad = padding()
    requests = [pad.complete(request(rows, length)) for rows, length in ((1, 3), (2, 1), (1, 2))]
    feed = pad.stack(requests)
    assert feed["x"].shape == (4, 3, 2) and feed["mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert feed["x"][1].tolist() == [[1, 1], [-1, -1], [-1, -1]]
    y, z = np.arange(60.0).reshape(4, 3, 5), np.zeros((4, 1))
    assert [pad.cut("y", y[a:b], r).shape for (a, b), r in zip(((0, 1), (1, 3), (3, 4)), requests, strict=True)] == [
        (1, 3, 5), (2, 1, 5), (1, 2, 5),
    ]  # fmt: skip
    assert pad.cut("z", z, requests[0]) is z


def test_only_lengths_of_the_same_size_go_together() -> None:
    pad = padding()
    keys = [pad.key(request(1, length)) for length in (1, 2, 3, 4, 7, 8)]
    assert [keys[0] == keys[1], keys[1] == keys[2], keys[2] == keys[3], keys[3] == keys[4], keys[4] == keys[5]] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert pad.key(request(1, 4)) == pad.key(request(9, 4))


def test_who_is_of_two_lengths_is_padded_with_nobody() -> None:
    pad = padding()
    odd = {**request(1, 4), "mask": np.ones((1, 3), np.int64)}
    assert pad.key(odd) != pad.key(pad.complete(request(1, 4)))
    assert pad.key(odd) != pad.key({**request(1, 5), "mask": np.ones((1, 3), np.int64)})
    assert pad.key(odd) == pad.key({**request(7, 4), "mask": np.ones((7, 3), np.int64)})


@pytest.mark.parametrize(
    ("batching", "said"),
    [
        (Batching(pad={"none": 0.0}), "here: input 'none', which is to be padded, is not the model's; it takes 'x'"),
        (Batching(pad={"k": 0.0}), r"input 'k' cannot be padded: it is FP32 \[-1, 1\]"),
        (Batching(pad={"words": 0.0}), "input 'words' cannot be padded: it is BYTES"),
        (Batching(pad={"mask": 0.5}), "pad: 0.5 does not fit input 'mask', which is INT64"),
        (Batching(pad={"mask": 1e30}), r"pad: 1e\+30 does not fit input 'mask'"),
        (Batching(pad={"x": 1e300}), r"pad: 1e\+300 does not fit input 'x', which is FP32"),
        (Batching(pad={"x": 0.0}, unpad={"none": "x"}), "unpad: there is no output 'none'"),
        (Batching(pad={"x": 0.0}, unpad={"y": "k"}), "unpad: there is no padded input 'k'"),
    ],
)
def test_what_does_not_fit(batching: Batching, said: str) -> None:
    with pytest.raises(BadArtefact, match=said):
        Padding(batching, SIGNATURE, "here")
