"""Canonical ONNX: one spelling for one program, so that the same model has the same digest wherever it was exported.

What a program means stays: its inputs and outputs, their order and names, its operators and weights. What says how it
came to be goes: producer, doc strings, metadata_props (torch's exporter embeds source paths there), training info.
Nodes are put in the order in which the outputs ask for them, and they, intermediate tensors and weights are renamed
in that order, so that names that a converter draws at random do not matter. Nodes that no output needs are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.errors import BadArtefact

from .renaming import canonical_function, canonical_graph

if TYPE_CHECKING:
    import onnx

INLINE_LIMIT = 1 << 30  # bytes of weights up to which they live in the .onnx file itself
EXTERNAL_FROM = 1024  # bytes; smaller tensors stay inside the .onnx file even when the others do not
_LISTED_INITIALISERS = 4  # from this ir_version on an initialiser need not be an input too


def canonicalise(source: Path, target: Path, inline_limit: int = INLINE_LIMIT) -> list[Path]:
    """Write the canonical form of one .onnx file; the files written (weights over the limit go to `<target>.data`).

    BadArtefact for a file that is not ONNX, is cut off, or whose external data is missing.
    """
    model = read_model(source)
    canonical_model(model)
    return write_model(model, target, inline_limit)


def read_model(path: Path) -> onnx.ModelProto:
    """A model with its external data loaded. BadArtefact names the file, what was expected and what was found."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import load_external_data_for_model

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as e:
        raise BadArtefact(f"{path}: expected an ONNX model, found {found_in(path)}") from e
    except FileNotFoundError as e:
        raise BadArtefact(f"{path}: no such file; expected an ONNX model") from e
    except IsADirectoryError as e:
        raise BadArtefact(f"{path}: expected an ONNX model, found a directory") from e
    except OSError as e:
        raise BadArtefact(f"{path}: cannot be read: {e.strerror or e}") from e
    if not model.HasField("graph") or not model.ir_version or not model.opset_import:
        raise BadArtefact(f"{path}: expected an ONNX model, found {found_in(path)}")
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as e:  # onnx raises its checker's error, OSError or ValueError by version
        raise BadArtefact(f"{path}: its external data cannot be read: {' '.join(str(e).split())[:300]}") from e
    return model


def found_in(path: Path) -> str:
    """What a file that is not a model looks like, for a message."""
    try:
        with path.open("rb") as f:
            head = f.read(16)
    except OSError as e:
        return f"something that cannot be read ({e.strerror})"
    if not head:
        return "an empty file"
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head.isascii() and all(32 <= b < 127 or b in b"\r\n\t" for b in head):
        return f"text ({head[:12].decode()!r}...)"
    return f"{path.stat().st_size} bytes that do not decode (damaged or cut off?)"


_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x02", "a pickle"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
)


def canonical_model(model: onnx.ModelProto) -> None:
    """Bring a loaded model into its canonical form, in place."""
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        model.ClearField(name)  # names of fields
    del model.metadata_props[:]
    del model.training_info[:]
    _opsets(model.opset_import)
    if model.ir_version < _LISTED_INITIALISERS:
        _unlist_initialisers(model)
    canonical_graph(model.graph)
    model.graph.name = "main"
    functions = sorted(model.functions, key=lambda f: (f.domain, f.name, getattr(f, "overload", "")))
    for function in functions:
        canonical_function(function)
        _opsets(function.opset_import)
    _replace(model.functions, functions)


def _opsets(imports: Any) -> None:
    versions: dict[str, int] = {}
    for one in imports:
        domain = "" if one.domain == "ai.onnx" else one.domain
        versions[domain] = max(one.version, versions.get(domain, 0))
    del imports[:]
    for domain, version in sorted(versions.items()):
        imports.add(domain=domain, version=version)


def _unlist_initialisers(model: onnx.ModelProto) -> None:
    # Before ir_version 4 every weight had to be an input too. Left there, a caller could override it, so
    # onnxruntime would fold and fuse nothing.
    weights = {t.name for t in model.graph.initializer}
    outputs = {o.name for o in model.graph.output}
    kept = [i for i in model.graph.input if i.name not in weights or i.name in outputs]
    if len(kept) < len(model.graph.input):
        _replace(model.graph.input, kept)
        model.ir_version = _LISTED_INITIALISERS


def _replace(field: Any, values: Iterable[Any]) -> None:
    copies = []
    for value in values:
        copy = type(value)()
        copy.CopyFrom(value)
        copies.append(copy)
    del field[:]
    field.extend(copies)


def write_model(model: onnx.ModelProto, target: Path, inline_limit: int = INLINE_LIMIT) -> list[Path]:
    """Write a model; the files written, the .onnx file first."""
    import onnx
    from onnx.external_data_helper import convert_model_to_external_data

    weights = sum(len(t.raw_data) for t in model.graph.initializer)
    if weights <= inline_limit:
        target.write_bytes(model.SerializeToString(deterministic=True))
        return [target]
    beside = Path(f"{target}.data")
    if beside.exists():
        beside.unlink()  # onnx appends to what is there
    convert_model_to_external_data(
        model, all_tensors_to_one_file=True, location=beside.name, size_threshold=EXTERNAL_FROM
    )
    onnx.save(model, os.fspath(target))
    return [target, beside]
