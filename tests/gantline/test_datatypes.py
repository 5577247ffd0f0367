"""The table of datatypes, held against ONNX and protobuf themselves."""

from __future__ import annotations

import numpy as np
import pytest

from gantline.datatypes import BY_ONNX, BY_ORT, DATATYPES
from gantline.tensors import numpy_dtype


def test_v2s_names() -> None:
    names = "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 BF16 FP32 FP64 BYTES"
    assert list(DATATYPES) == names.split()
    assert len(BY_ORT) == len(BY_ONNX) == len(DATATYPES)


@pytest.mark.parametrize("name", list(DATATYPES))
def test_onnx_calls_it_the_same(name: str) -> None:
    onnx = pytest.importorskip("onnx")
    d = DATATYPES[name]
    theirs = onnx.helper.tensor_dtype_to_np_dtype(d.onnx)
    assert theirs == (np.dtype(object) if name == "BYTES" else numpy_dtype(name))
    assert BY_ONNX[d.onnx] is d


@pytest.mark.parametrize("name", [d.name for d in DATATYPES.values() if d.contents])
def test_protobuf_has_the_field(name: str) -> None:
    from gantline.pb import message

    assert DATATYPES[name].contents in message("inference.InferTensorContents").DESCRIPTOR.fields_by_name
