"""Signature: the names, datatypes and shapes of what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .datatypes import DATATYPES
from .errors import BadArtefact, BadRequest

if TYPE_CHECKING:
    import numpy as np

    from .tensors import Array

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. `shape` includes the batch dimension; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    labels: tuple[str, ...] = ()  # class names, for the V2 classification extension

    def to_json(self) -> Json:
        out: Json = {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
        if self.optional:
            out["optional"] = True
        if self.labels:
            out["labels"] = list(self.labels)
        return out

    @classmethod
    def from_json(cls, data: Any) -> TensorSpec:
        """BadArtefact for anything but what `to_json` writes."""
        if not isinstance(data, dict):
            raise BadArtefact(f"signature: expected an object for a tensor, found {data!r:.80}")
        unknown = set(data) - {"name", "datatype", "shape", "optional", "labels"}
        if unknown:
            raise BadArtefact(f"signature: unknown key {sorted(unknown)[0]!r} in tensor {data.get('name')!r}")
        name, datatype = data.get("name"), data.get("datatype")
        shape: Any = data.get("shape")
        if not (isinstance(name, str) and isinstance(datatype, str) and _all(shape, int)):
            raise BadArtefact(f"signature: tensor {data!r:.80} needs name, datatype and shape")
        if datatype not in DATATYPES:
            raise BadArtefact(f"signature: tensor {name!r} has datatype {datatype!r}; known: {', '.join(DATATYPES)}")
        labels = data.get("labels", [])
        if not _all(labels, str):
            raise BadArtefact(f"signature: labels of tensor {name!r} are not a list of text")
        return cls(name, datatype, tuple(shape), bool(data.get("optional", False)), tuple(labels))

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits."""
        own = self.shape
        if len(shape) != len(own):
            return False
        for want, got in zip(own, shape, strict=True):  # noqa: SIM110  # all() with a generator takes three times as long
            if want != got and want >= 0:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Signature:
    """All inputs and outputs of a model, in the model's own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def _repr_html_(self) -> str:
        from .notebook import signature_html

        return signature_html(self)

    def to_json(self) -> Json:
        return {"inputs": [t.to_json() for t in self.inputs], "outputs": [t.to_json() for t in self.outputs]}

    @classmethod
    def from_json(cls, data: Any) -> Signature:
        """BadArtefact for anything but what `to_json` writes."""
        sides = [data.get(key) if isinstance(data, dict) else None for key in ("inputs", "outputs")]
        if not all(isinstance(side, list) for side in sides):
            raise BadArtefact(f"signature: expected an object with lists 'inputs' and 'outputs', found {data!r:.80}")
        inputs, outputs = (tuple(map(TensorSpec.from_json, side or [])) for side in sides)
        return cls(inputs, outputs)

    @property
    def batched(self) -> bool:
        """Whether every input and output has a free first dimension, so that requests may be stacked."""
        specs = self.inputs + self.outputs
        return bool(self.inputs) and all(t.shape[:1] == (-1,) for t in specs)

    def input(self, name: str) -> TensorSpec | None:
        """The input of that name, or None."""
        return next((t for t in self.inputs if t.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        """The output of that name, or None."""
        return next((t for t in self.outputs if t.name == name), None)

    def check(self, model: str, inputs: Mapping[str, Array]) -> None:
        """BadRequest unless these inputs are exactly what the model takes (names, datatypes, shapes)."""
        seen = 0
        for spec in self.inputs:
            array = inputs.get(spec.name)
            if array is None:
                if spec.optional:
                    continue
                want = _names(self.inputs)
                raise BadRequest(
                    f"model '{model}': input '{spec.name}' is missing; it takes {want}, got {_names(inputs)}"
                )
            seen += 1
            if not spec.accepts(array.shape):
                got = _shape(array.shape)
                raise BadRequest(f"model '{model}': input '{spec.name}' has shape {got}, expected {_shape(spec.shape)}")
            if array.dtype != _dtype(spec.datatype) and (other := _datatype_of(array)) != spec.datatype:
                raise BadRequest(f"model '{model}': input '{spec.name}' has datatype {other}, expected {spec.datatype}")
        if seen != len(inputs):
            known = {t.name for t in self.inputs}
            extra = next(n for n in inputs if n not in known)
            raise BadRequest(f"model '{model}': unexpected input '{extra}'; it takes {_names(self.inputs)}")


# whoever has an array has numpy, too; those that only read signatures, as most commands do, need not wait for it
@cache
def _dtype(datatype: str) -> np.dtype[Any]:
    from .tensors import numpy_dtype

    return numpy_dtype(datatype)


def _datatype_of(array: Array) -> str:
    from .tensors import datatype_of

    return datatype_of(array)


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)


def _names(tensors: Any) -> str:
    names = [t if isinstance(t, str) else t.name for t in tensors]
    shown = ", ".join(f"'{n}'" for n in names[:8]) + (", ..." if len(names) > 8 else "")
    return shown or "none"


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
