"""Notebook: packages, signatures and results as small tables in HTML, as notebooks show the value of a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .tensors import Array, datatype_of

if TYPE_CHECKING:
    from .packages import Package
    from .signature import Signature, TensorSpec

_ROWS = 10  # of a result that are shown
_VALUES = 8  # of a row
_LABELS = 12  # of a tensor
_CELL = 60  # characters of one value
_LEFT = ' style="text-align:left"'


def signature_html(signature: Signature) -> str:
    """Inputs and outputs: name, datatype, shape and labels."""
    rows = [
        (side if i == 0 else "", spec.name, spec.datatype, _shape(spec), _beside(spec))
        for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs))
        for i, spec in enumerate(specs)
    ]
    return _table(("", "name", "datatype", "shape", ""), rows)


def package_html(package: Package) -> str:
    """What a package is: engine, source, signature, parity, golden samples, size."""
    m = package.manifest
    facts = [("digest", package.digest or "a bare file, without a manifest"), ("engine", m.engine)]
    if m.engine_reason:
        facts.append(("why not ONNX", m.engine_reason))
    if m.source is not None:
        versions = ", ".join(f"{k} {v}" for k, v in sorted(m.source.versions.items()))
        facts.append(("source", " ".join(p for p in (m.source.framework, m.source.type, versions) if p)))
    most = m.batching.max_batch_size
    facts.append(("batching", f"up to {most} rows" if most else "never stacked"))
    if m.parity is not None:
        p = m.parity
        error = f"max relative error {p.max_rel_error:.2g}, {p.label_flips} label flips"
        facts.append(("parity", f"{p.rows} {p.sample} rows: {error}"))
    facts += [("golden samples", str(len(m.golden))), ("size", f"{sum(f.size for f in m.files):,} bytes")]
    facts += [("note", note) for note in m.notes]
    title = f"<b>{escape(m.name)}</b> <code>{escape(str(package.path))}</code>"
    signature = signature_html(m.signature) if m.signature is not None else ""
    return f"<div>{title}{_table((), facts)}{signature}</div>"


def result_html(model: str, outputs: Mapping[str, Array]) -> str:
    """The first rows of each output of an answer."""
    parts = [f"<b>{escape(model)}</b>"]
    for name, array in outputs.items():
        shape = ",".join(map(str, array.shape))
        parts.append(f"<div>{escape(name)} <code>{datatype_of(array)} [{shape}]</code></div>")
        rows = array.reshape(len(array), -1) if array.ndim and array.size else array.reshape(1, -1)
        cells = [[_value(v) for v in row[:_VALUES].tolist()] + ["..."] * (len(row) > _VALUES) for row in rows[:_ROWS]]
        parts.append(_table((), cells))
        if len(rows) > _ROWS:
            parts.append(f"<div>... {len(rows) - _ROWS:,} more rows</div>")
    return f"<div>{''.join(parts)}</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["<table>"]
    if head:
        lines.append("<tr>" + "".join(f"<th{_LEFT}>{escape(cell)}</th>" for cell in head) + "</tr>")
    lines += ["<tr>" + "".join(f"<td{_LEFT}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "".join([*lines, "</table>"])


def _shape(spec: TensorSpec) -> str:
    return "[" + ", ".join("any" if d < 0 else str(d) for d in spec.shape) + "]"


def _beside(spec: TensorSpec) -> str:
    shown = ", ".join(spec.labels[:_LABELS]) + (", ..." if len(spec.labels) > _LABELS else "")
    return "; ".join(part for part in ("optional" if spec.optional else "", shown and f"labels: {shown}") if part)


def _value(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = _number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= _CELL else text[: _CELL - 3] + "..."


def _number(value: float) -> str:
    plain = value == 0 or 1e-5 <= abs(value) < 1e16
    return np.format_float_positional(value, 6, trim="-") if plain else f"{value:.6g}"
