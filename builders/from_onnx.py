"""ONNX files: any opset that onnxruntime runs, with or without external data; made canonical and held to themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gantline.accelerators.onnx import open_model

from .canonical import read_model, write_model
from .onnx_ranges import draw
from .onnx_repairs import complete, repair
from .source import Conversion, Source

if TYPE_CHECKING:
    import onnx

MODEL = "model.onnx"


def recognises(source: Source) -> bool:
    """A file named .onnx."""
    return source.path is not None and source.path.suffix.lower() == ".onnx"


def convert(source: Source, work: Path) -> Conversion:
    """The file as it is; onnxruntime must load it. The reference of parity is the file run by onnxruntime."""
    path = source.path
    assert path is not None
    model = read_model(path)
    notes = repair(model, source.sample, path)
    if notes:
        path = _written(model, work)
    if seen := complete(model, path):
        notes, path = [*notes, *seen], _written(model, work)
    original = open_model(path)
    names = [t.name for t in original.signature.outputs]
    known = draw(model, original.signature, 1) is not None
    opsets = {(o.domain or "ai.onnx"): str(o.version) for o in model.opset_import}
    return Conversion(
        engine="onnx",
        framework="onnx",
        type=model.producer_name,
        files={MODEL: path},
        model=MODEL,
        versions={**_versions(), **{f"opset {d}": v for d, v in sorted(opsets.items())}},
        synthetic=(lambda rows: draw(model, original.signature, rows) or {}) if known else None,
        predict=lambda inputs: original.run(inputs, names),
        notes=tuple(notes),
    )


def _written(model: onnx.ModelProto, work: Path) -> Path:
    (work / "repaired").mkdir(exist_ok=True)
    return write_model(model, work / "repaired" / MODEL)[0]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import onnx

    return {"onnx": onnx.__version__, "onnxruntime": version("onnxruntime")}
