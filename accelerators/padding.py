"""Padding: requests of different lengths made one feed, where a package declares how, and their answers cut back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gantline.errors import BadArtefact
from gantline.manifest import Batching
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

Inputs = Mapping[str, Array]


class Padding:
    """What `batching` of a manifest says, held to a signature. BadArtefact if the two do not fit.

    The free trailing dimensions of each input in `pad` are filled up to the longest in the batch; `pad_mask` is an
    input that is 1 where there is data and 0 where there is padding, made here when a client does not send it; each
    output in `unpad` is as long as the input named there, and is cut to that request's own length.
    """

    def __init__(self, batching: Batching, signature: Signature, where: str) -> None:
        self.mask = batching.pad_mask
        self.fill: dict[str, float] = dict(batching.pad)
        self.follows = dict(batching.unpad)
        for name in (*self.fill, *filter(None, [self.mask])):
            spec = _input(signature, name, where)
            if spec.datatype == "BYTES" or not _axes(spec):
                raise BadArtefact(f"{where}: input '{name}' cannot be padded: it is {spec.datatype} {list(spec.shape)}")
            _fits(spec, self.fill.get(name, 0.0), where)
        for output, name in self.follows.items():
            found = signature.output(output)
            if found is None or name not in self.fill:
                what = f"output '{output}'" if found is None else f"padded input '{name}'"
                raise BadArtefact(f"{where}: unpad: there is no {what}")
        self._axes = {t.name: _axes(t) for t in (*signature.inputs, *signature.outputs)}
        self._first = next(iter(self.fill))
        self._mask = signature.input(self.mask) if self.mask else None
        if self.mask:
            self.fill[self.mask] = 0

    def axes(self, name: str) -> tuple[int, ...]:
        """The dimensions of an input that may be padded."""
        return self._axes[name] if name in self.fill else ()

    def served(self, signature: Signature) -> Signature:
        """The signature for clients, who need not send the mask."""
        return Signature(
            tuple(replace(t, optional=True) if t.name == self.mask else t for t in signature.inputs), signature.outputs
        )

    def complete(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """With a mask, of ones where the client sent none."""
        if self._mask is None or self.mask in inputs:
            return inputs
        like = inputs[self._first]
        shape = [like.shape[i] if d < 0 else d for i, d in enumerate(self._mask.shape)]
        return {**inputs, self.mask: np.ones(shape, numpy_dtype(self._mask.datatype))}

    def key(self, inputs: Inputs) -> Hashable:
        """Same for requests that may be padded together: none is longer than twice another.

        A request whose padded inputs are not of one length is padded with nobody: whether the program takes it, and
        how, is between the two, and must not depend on who else is in the batch.
        """
        if len({tuple(inputs[n].shape[i] for i in self._axes[n]) for n in self.fill if n in inputs}) > 1:
            return tuple((name, inputs[name].shape[1:], "as it is") for name in sorted(inputs))
        out = []
        for name in sorted(inputs):
            shape = inputs[name].shape
            loose = self.axes(name)
            out.append((name, tuple(d.bit_length() if i in loose else d for i, d in enumerate(shape) if i)))
        return tuple(out)

    def stack(self, requests: Sequence[Inputs]) -> dict[str, Array]:
        """One feed of all their rows."""
        return {name: self._stacked(name, [r[name] for r in requests]) for name in requests[0]}

    def cut(self, name: str, rows: Array, inputs: Inputs) -> Array:
        """A request's rows of an output, in the length that it would have had alone."""
        source = self.follows.get(name)
        if source is None:
            return rows
        like = inputs[source]
        index: list[slice] = [slice(None)] * rows.ndim
        for axis, own in zip(self._axes[name], self._axes[source], strict=False):
            index[axis] = slice(0, like.shape[own])
        return rows[tuple(index)]

    def _stacked(self, name: str, arrays: list[Array]) -> Array:
        tails = {a.shape[1:] for a in arrays}
        if name not in self.fill or len(tails) == 1:
            return np.concatenate(arrays)
        tail = tuple(max(sizes) for sizes in zip(*tails, strict=True))
        out = np.full((sum(a.shape[0] for a in arrays), *tail), self.fill[name], arrays[0].dtype)
        at = 0
        for array in arrays:
            out[(slice(at, at + array.shape[0]), *(slice(0, d) for d in array.shape[1:]))] = array
            at += array.shape[0]
        return out


def _fits(spec: TensorSpec, fill: float, where: str) -> None:
    dtype = numpy_dtype(spec.datatype)
    if dtype.kind == "b":
        good = fill in (0, 1)
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        good = fill == int(fill) and limits.min <= fill <= limits.max
    else:
        with np.errstate(over="ignore"):
            good = bool(np.isfinite(np.array(fill).astype(dtype).astype(np.float64)))
    if not good:
        raise BadArtefact(f"{where}: pad: {fill:g} does not fit input '{spec.name}', which is {spec.datatype}")


def _axes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(i for i, d in enumerate(spec.shape) if i and d < 0)


def _input(signature: Signature, name: str, where: str) -> TensorSpec:
    spec = signature.input(name)
    if spec is None:
        known = ", ".join(f"'{t.name}'" for t in signature.inputs)
        raise BadArtefact(f"{where}: input '{name}', which is to be padded, is not the model's; it takes {known}")
    return spec
