"""Programs of a torch model: each way to write one that runs without its Python class, best first."""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.accelerators.torch import quiet, to_tensor

from gantline.errors import BadArtefact
from gantline.tensors import Array

from .from_torch_load import Loaded
from .silence import silence

if TYPE_CHECKING:
    import torch

_NO_PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")
_DROPPED = (".debug_pkl", "traced_inputs.pkl", ".data/serialization_id")


@dataclass(frozen=True, slots=True)
class Job:
    """What every way of writing is given. `rows`: which inputs have the batch as their first dimension."""

    loaded: Loaded
    example: Mapping[str, Array]
    outputs: tuple[str, ...]
    rows: tuple[str, ...]  # empty: the batch stays as it is in the example
    work: Path

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return {n: to_tensor(a.copy()) for n, a in self.example.items()}


Write = Callable[[Job], Path]  # raises whatever torch raises


def ways(loaded: Loaded) -> Iterator[tuple[str, str, Write]]:
    """(engine, name for a person, function) of each way that makes sense for this kind of source, best first."""
    if not loaded.scripted:
        yield "onnx", "dynamo exporter", by_dynamo
    yield "onnx", "legacy exporter", by_legacy
    if not loaded.scripted:
        yield "torch", "exported program", by_export
    if loaded.program is None:
        yield "torch", "TorchScript", by_script
    if loaded.program is None and not loaded.scripted:
        yield "torch", "traced TorchScript", by_trace


def by_dynamo(job: Job) -> Path:
    """ONNX from an exported program."""
    import torch

    path = job.work / "dynamo.onnx"
    with silent():
        made = torch.onnx.export(
            exported(job),
            dynamo=True,
            verbose=False,
            input_names=list(job.example),
            output_names=list(job.outputs),
        )
        assert made is not None
        made.save(path)
    return path


def by_legacy(job: Job) -> Path:
    """ONNX by tracing. A trace that lost a decision of the program's is an error, not a warning."""
    import torch

    path, module, names = job.work / "legacy.onnx", job.loaded.module, list(job.example)
    if job.loaded.program is not None:
        module = job.loaded.program.module()
    axes = {n: {0: "batch"} for n in job.rows} | ({n: {0: "batch"} for n in job.outputs} if job.rows else {})
    with silent(), _faithful_trace(), torch.no_grad():
        torch.onnx.export(
            module,
            positional(job),
            str(path),
            dynamo=False,
            input_names=names,
            output_names=list(job.outputs),
            dynamic_axes=axes,
        )
    return path


def by_export(job: Job) -> Path:
    """An exported program without the paths and source lines that torch keeps in it, so that it has one digest."""
    import torch

    path = job.work / "model.pt2"  # the name is inside the archive too
    with silent():
        program = exported(job)
        for module in program.graph_module.modules():
            for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                for key in _NO_PATHS:
                    node.meta.pop(key, None)
        program._example_inputs = None  # the user's data, as a pickle
        torch.export.save(program, path)
    return path


def by_script(job: Job) -> Path:
    """TorchScript that keeps the program's decisions and loops; a scripted source is kept as it is."""
    import torch

    with silent():
        module = job.loaded.module if job.loaded.scripted else torch.jit.script(job.loaded.module)
        return _save_script(module, job.work / "script")


def by_trace(job: Job) -> Path:
    """TorchScript of one run; only for programs that decide nothing by their data."""
    import torch

    with silent(), _faithful_trace(), torch.no_grad():
        module = torch.jit.trace(job.loaded.module, positional(job), strict=False)
        return _save_script(module, job.work / "trace")


def exported(job: Job) -> torch.export.ExportedProgram:
    """The program itself, exported now unless it came exported; a fresh one each time, since exporters change it."""
    import torch

    if job.loaded.program is not None:
        if job.loaded.path is not None:
            from gantline.accelerators.torch import load_exported

            return load_exported(job.loaded.path)
        return _copied(job.loaded.program)
    free = {0: torch.export.Dim.AUTO}
    shapes = {n: (free if n in job.rows else None) for n in job.example}
    args, kwargs = arguments(job)
    return torch.export.export(job.loaded.module, args, kwargs, dynamic_shapes=shapes)


def _copied(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    import torch

    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    return torch.export.load(buffer)


def arguments(job: Job) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional as long as no parameter is left out, the rest by name (and those that are by keyword only)."""
    import inspect

    tensors, args = job.tensors, []
    parameters = inspect.signature(job.loaded.module.forward).parameters
    for name in job.loaded.names:
        if name not in tensors or parameters[name].kind is inspect.Parameter.KEYWORD_ONLY:
            break
        args.append(tensors.pop(name))
    return tuple(args), tensors


def positional(job: Job) -> tuple[Any, ...]:
    """All inputs by position, as tracing wants them. BadArtefact where parameters are skipped or by keyword only."""
    if job.loaded.program is not None or job.loaded.scripted:
        return tuple(job.tensors.values())
    args, rest = arguments(job)
    if rest:
        raise BadArtefact(f"tracing cannot pass {', '.join(rest)} by name")
    return args


def _save_script(module: Any, folder: Path) -> Path:
    """Save without debug information, which holds paths and source lines; torch loads the same program from it."""
    folder.mkdir(parents=True, exist_ok=True)
    raw, path = folder / "raw.pt", folder / "model.pt"
    buffer = io.BytesIO()
    module.save(str(raw)) if not hasattr(module, "save_to_buffer") else buffer.write(module.save_to_buffer())
    if buffer.tell():
        raw.write_bytes(buffer.getvalue())
    with zipfile.ZipFile(raw) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for item in sorted(whole.infolist(), key=lambda i: i.filename):
            inside = item.filename.split("/", 1)[-1]
            if not inside.endswith(_DROPPED) and not inside.startswith("traced_inputs/"):
                out.writestr(zipfile.ZipInfo(f"model/{inside}"), whole.read(item))
    return path


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Neither the terminal nor torch's loggers get what its exporters say."""
    with silence(), quiet():
        yield


@contextlib.contextmanager
def _faithful_trace() -> Iterator[None]:
    from torch.jit._trace import TracerWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", TracerWarning)
        yield
