"""Arrays cross a pipe unchanged."""

from __future__ import annotations

import io

import ml_dtypes
import numpy as np
import pytest
from gantline.builders.frames import read_frame, write_frame

from gantline.tensors import Array


def test_there_and_back() -> None:
    arrays: dict[str, Array] = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "scalar": np.array(3, np.int64),
        "empty": np.zeros((0, 4), np.uint8),
        "bools": np.array([True, False]),
        "bf16": np.array([1.5, -2.0], ml_dtypes.bfloat16),
        "texts": np.array([[b"a\x00\n", "ü".encode()], [b"", b"end"]], object),
    }
    stream = io.BytesIO()
    write_frame(stream, {"call": "predict", "rows": 3}, arrays)
    write_frame(stream, {"more": [1]})
    stream.seek(0)
    header, found = read_frame(stream)
    assert header == {"call": "predict", "rows": 3}
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tolist() == array.tolist()
    assert read_frame(stream) == ({"more": [1]}, {})
    with pytest.raises(EOFError):
        read_frame(stream)


def test_str_becomes_bytes_and_a_cut_is_noticed() -> None:
    stream = io.BytesIO()
    write_frame(stream, {}, {"t": np.array(["a", "bc"])})
    whole = stream.getvalue()
    assert read_frame(io.BytesIO(whole))[1]["t"].tolist() == [b"a", b"bc"]
    for cut in (3, len(whole) - 1):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(whole[:cut]))
