"""The torch engine: exported programs (.pt2) and TorchScript (.pt); for what ONNX cannot say faithfully."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gantline.errors import BadArtefact, EngineFailed, UsageError
from gantline.packages import Package
from gantline.signature import Signature
from gantline.tensors import Array, numpy_dtype

from .engine import Engine, EngineOptions
from .torch_archive import EXPORTED, SCRIPTED, check_exported, kind_of

if TYPE_CHECKING:
    import torch

INSTALL = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
SMALL_MODEL = 4 << 20  # bytes on disk below which more than one thread costs more than it gives


class Torch:
    """One loaded torch program; tensors go in and out by position, names are the manifest's."""

    def __init__(self, call: Callable[[list[Any]], Any], signature: Signature, device: str, threads: int) -> None:
        self._call: Callable[[list[Any]], Any] | None = call
        self.signature = signature
        self._device = device
        self._threads = threads
        self._order = {t.name: i for i, t in enumerate(signature.outputs)}

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        import torch

        assert self._call is not None
        if (
            torch.get_num_threads() != self._threads
        ):  # one number for the whole process, wanted by each model for itself
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                tensors = [to_tensor(inputs[t.name], self._device) for t in self.signature.inputs if t.name in inputs]
                found = [leaf for _, leaf in leaves(self._call(tensors))]
                return [from_tensor(found[self._order[name]]) for name in outputs]
        except Exception as e:  # a torch program may raise anything
            raise EngineFailed(one_line(e)) from e

    def close(self) -> None:
        self._call = None


def load(package: Package, options: EngineOptions) -> Engine:
    """Open the package's program. UsageError without torch or CUDA; BadArtefact names the file and what is wrong."""
    signature = package.manifest.signature
    if signature is None:
        raise BadArtefact(
            f"{package.path}: a torch package needs a signature in its manifest; make it with `gantline package`"
        )
    path = package.model_path
    torch = require(f"package '{package.name}'")
    if options.device != "cpu" and not torch.cuda.is_available():
        raise UsageError(f"package '{package.name}': device {options.device!r} is asked for, torch finds no CUDA here")
    small = path.is_file() and path.stat().st_size < SMALL_MODEL
    threads = options.threads or (1 if small else options.cores or os.cpu_count() or 1)
    return Torch(open_program(path, options.device), signature, options.device, threads)


def require(what: str) -> Any:
    """The torch module, or UsageError with the line that installs it."""
    try:
        import torch
    except ImportError as e:
        raise UsageError(f"{what}: needs torch, which is not installed; the CPU build: {INSTALL}") from e
    return torch


def open_program(path: Path, device: str = "cpu") -> Callable[[list[Any]], Any]:
    """A function from tensors, in the order of the program's inputs, to whatever its forward() returns."""
    kind = kind_of(path) if path.is_file() else None
    if kind is None:
        raise BadArtefact(f"{path}: no such file; expected a torch program (.pt2 or TorchScript .pt)")
    if kind == EXPORTED:
        return call_exported(load_exported(path), device)
    if kind == SCRIPTED:
        module = load_scripted(path, device)
        return lambda tensors: module(*tensors)
    found = f"found {kind}, which is not a program" if kind else "it is neither, or damaged"
    raise BadArtefact(f"{path}: expected a torch exported program (.pt2) or TorchScript (.pt); {found}")


def load_exported(path: Path) -> torch.export.ExportedProgram:
    """torch.export.load behind a check, and with every unpickling in it limited to tensors."""
    import torch

    with _load_errors(path, "an exported program"):
        check_exported(path)
        with _only_weights():
            return torch.export.load(str(path))


def load_scripted(path: Path, device: str = "cpu") -> Any:
    """torch.jit.load in evaluation mode; its own unpickler knows no Python."""
    import torch

    with _load_errors(path, "TorchScript"):
        return torch.jit.load(str(path), map_location=device).eval()


def call_exported(program: torch.export.ExportedProgram, device: str = "cpu") -> Callable[[list[Any]], Any]:
    """An exported program as a function of its flat inputs."""
    from torch.utils._pytree import tree_unflatten

    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    module, structure = program.module(), program.call_spec.in_spec
    assert structure is not None  # torch.export always records it

    def call(tensors: list[Any]) -> Any:
        args, kwargs = tree_unflatten(tensors, structure)
        return module(*args, **kwargs)

    return call


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in what forward() returned, with names: dict keys, positions, or `output` for a single one."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name or "output", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}_{key}" if name else str(key))
    elif isinstance(value, tuple | list):
        fields = getattr(value, "_fields", range(len(value)))
        for field, item in zip(fields, value, strict=True):
            yield from leaves(item, f"{name or ('output' if isinstance(field, int) else '')}_{field}".lstrip("_"))
    elif isinstance(value, bool | int | float):
        yield name or "output", torch.tensor(value)
    elif value is not None:
        raise TypeError(f"forward() returns a {type(value).__name__} ('{name or 'output'}'), which is not a tensor")


def to_tensor(array: Array, device: str = "cpu") -> torch.Tensor:
    """A tensor of an array; shares its memory where that is writable, since a model may write into its input."""
    import torch

    array = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes 1-D of 0-D
    if not array.flags.writeable or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="), copy=True)
    if array.dtype.name == "bfloat16":
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.to(device)


def from_tensor(tensor: torch.Tensor) -> Array:
    """An array of a tensor, in ordinary memory and order."""
    import torch

    plain = tensor.detach().cpu()
    if plain.is_sparse:
        plain = plain.to_dense()
    if plain.is_quantized:
        plain = plain.dequantize()
    plain = plain.resolve_conj().resolve_neg().contiguous()
    if plain.dtype == torch.bfloat16:
        return cast(Array, plain.view(torch.int16).numpy().view(numpy_dtype("BF16")))
    return cast(Array, plain.numpy())


def one_line(error: BaseException) -> str:
    """The part of a torch error that a person can use: its stack traces are pages long."""
    text = str(error).strip() or type(error).__name__
    for mark in ("\nException raised from", "\nC++ CapturedTraceback", "\nWhile executing", "\n\nOriginal traceback"):
        text = text.split(mark, 1)[0]
    if "Traceback of TorchScript" in text:  # the error itself comes last
        text = text.strip().split("\n")[-1]
    return " ".join(text.split())[:400]


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log lines of torch's: what they say is said by our errors, or is its own affair."""
    names = [n for n in logging.root.manager.loggerDict if n.split(".")[0] in ("torch", "onnxscript", "onnx_ir")]
    loggers = [logging.getLogger(n) for n in names]

    def drop(_: logging.LogRecord) -> bool:
        return False

    handlers = {h for one in loggers for h in one.handlers}
    for handler in handlers:
        handler.addFilter(drop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(drop)


@contextmanager
def _load_errors(path: Path, what: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except BadArtefact:
        raise
    except Exception as e:  # torch raises whatever its many readers raise
        raise BadArtefact(f"{path}: cannot be loaded as {what}: {one_line(e)}") from e


@contextmanager
def _only_weights() -> Iterator[None]:
    # torch.export.load passes weights_only=False in places; this variable of torch's own overrides that
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
