"""Description: what every face tells of a model: its metadata and its configuration, as V2's documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gantline.signature import TensorSpec

from .model import Model
from .repository import Repository

_PLATFORMS = {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch"}


def metadata(repository: Repository, model: Model) -> dict[str, Any]:
    """Names, datatypes and shapes of what goes in and out, and which versions are loaded."""
    manifest = model.session.package.manifest
    columns = manifest.table.columns if len(model.signature.inputs) == 1 else ()
    out: dict[str, Any] = {
        "name": model.name,
        "versions": repository.versions(model.name),
        "platform": _PLATFORMS.get(manifest.engine, manifest.engine),
        "inputs": [_tensor(t, columns) for t in model.signature.inputs],
        "outputs": [_tensor(t) for t in model.signature.outputs],
    }
    parameters = {"package_digest": model.session.package.digest} if model.session.package.digest else {}
    if manifest.parity is not None and manifest.parity.loosened:
        parameters["parity_loosened"] = "; ".join(manifest.parity.loosened)
    if parameters:
        out["parameters"] = parameters
    return out


def configuration(repository: Repository, model: Model) -> dict[str, Any]:
    """The model's Triton configuration."""
    from gantline.accelerators.triton.model_config import config_json  # protobuf is needed only here

    slot = next(s for s in repository.slots(model.name) if s.model is model)
    entry = slot.entry
    return config_json(
        model.session.package, model.signature, model.max_rows, entry.config, entry.versions, model.dispatch.instances
    )


def _tensor(spec: TensorSpec, columns: Sequence[str] = ()) -> dict[str, Any]:
    """`columns`: the names of a matrix's columns, by which a table's are found."""
    out: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
    beside: dict[str, Any] = {"optional": True} if spec.optional else {}
    if spec.labels:
        beside["labels"] = list(spec.labels)
    if columns:
        beside["columns"] = list(columns)
    if beside:
        out["parameters"] = beside  # where MLServer, too, puts what V2 has no word for
    return out
