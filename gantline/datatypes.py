"""The one table of datatypes: V2 name, numpy, ONNX and protobuf spellings of the same thing, without numpy.

V2 names: Open Inference Protocol (https://github.com/kserve/open-inference-protocol) plus BF16 of Triton's extension.
ONNX numbers: TensorProto.DataType in onnx.proto.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Datatype:
    """One element type. `itemsize` is in bytes, 0 for BYTES, whose elements have lengths of their own."""

    name: str
    numpy: str
    onnx: int
    ort: str
    itemsize: int
    contents: str | None  # field of InferTensorContents; None: raw bytes only


DATATYPES: dict[str, Datatype] = {
    d.name: d
    for d in (
        Datatype("BOOL", "bool", 9, "tensor(bool)", 1, "bool_contents"),
        Datatype("UINT8", "uint8", 2, "tensor(uint8)", 1, "uint_contents"),
        Datatype("UINT16", "uint16", 4, "tensor(uint16)", 2, "uint_contents"),
        Datatype("UINT32", "uint32", 12, "tensor(uint32)", 4, "uint_contents"),
        Datatype("UINT64", "uint64", 13, "tensor(uint64)", 8, "uint64_contents"),
        Datatype("INT8", "int8", 3, "tensor(int8)", 1, "int_contents"),
        Datatype("INT16", "int16", 5, "tensor(int16)", 2, "int_contents"),
        Datatype("INT32", "int32", 6, "tensor(int32)", 4, "int_contents"),
        Datatype("INT64", "int64", 7, "tensor(int64)", 8, "int64_contents"),
        Datatype("FP16", "float16", 10, "tensor(float16)", 2, None),
        Datatype("BF16", "bfloat16", 16, "tensor(bfloat16)", 2, None),
        Datatype("FP32", "float32", 1, "tensor(float)", 4, "fp32_contents"),
        Datatype("FP64", "float64", 11, "tensor(double)", 8, "fp64_contents"),
        Datatype("BYTES", "object", 8, "tensor(string)", 0, "bytes_contents"),
    )
}
BY_ORT: dict[str, Datatype] = {d.ort: d for d in DATATYPES.values()}
BY_ONNX: dict[int, Datatype] = {d.onnx: d for d in DATATYPES.values()}
