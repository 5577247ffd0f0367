"""Loading a torch source: files, `pkg.mod:object` and objects in memory, to one Loaded. Nothing is unpickled."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.accelerators.torch import call_exported, load_exported, load_scripted, one_line, quiet, require
from gantline.accelerators.torch_archive import EXPORTED, LEGACY, PICKLED, SCRIPTED, kind_of

from gantline.errors import BadArtefact, UsageError

from .source import Source

if TYPE_CHECKING:
    import torch

STATE_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
_WRAPPED = ("state_dict", "model_state_dict", "model")  # keys under which training loops keep the weights


@dataclass(frozen=True, slots=True)
class Loaded:
    """A torch model ready to run. `names` are its inputs in order; `required` of them have no default.

    `call` takes tensors by name; `program` is set for an exported program, `scripted` for TorchScript.
    """

    where: str
    type: str
    call: Callable[[Mapping[str, torch.Tensor]], Any]
    names: tuple[str, ...]
    required: tuple[str, ...]
    module: Any = None
    program: torch.export.ExportedProgram | None = None
    scripted: bool = False
    path: Path | None = None
    notes: tuple[str, ...] = ()


def load(source: Source) -> Loaded:
    """The model that a source names. BadArtefact or UsageError says what was found and what to type instead."""
    what = str(source.path or source.reference or type(source.object).__name__)
    require(what)
    if source.path is not None:
        return _from_file(source, source.path)
    found = source.object if source.object is not None else resolve(source.reference, source.init)
    return from_object(found, what)


def resolve(reference: str, init: Mapping[str, Any]) -> Any:
    """The object of `pkg.mod:object`; a class or function is called with `init`. UsageError says what is missing."""
    found = attribute(reference)
    if isinstance(found, type) or inspect.isroutine(found):
        try:
            made = found(**init)
            return made.eval() if is_module(made) else made  # just made, so in training mode: nothing to tell
        except Exception as e:  # the user's own code
            raise UsageError(f"{reference}: calling it fails: {type(e).__name__}: {one_line(e)}; see --init") from e
    return found


def attribute(reference: str) -> Any:
    """What `pkg.mod:name` (or `pkg.mod:Outer.inner`) is; modules in the working directory are found too."""
    module_name, _, path = reference.partition(":")
    if not module_name or not path:
        raise UsageError(f"{reference!r}: expected pkg.mod:name, as in 'shop.models:Net'")
    try:
        with _working_directory_on_path():
            found: Any = importlib.import_module(module_name)
    except Exception as e:  # the user's own code runs on import
        raise UsageError(f"{reference}: importing {module_name} fails: {type(e).__name__}: {one_line(e)}") from e
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as e:
            raise UsageError(f"{reference}: {module_name} has no {path!r}") from e
    return found


@contextmanager
def _working_directory_on_path() -> Iterator[None]:
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _from_file(source: Source, path: Path) -> Loaded:
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a torch model (.pt2, .pt or .safetensors)")
    if path.suffix.lower() == ".safetensors":
        return _from_state(source, path, _read_safetensors(path))
    kind = kind_of(path)
    if kind == EXPORTED:
        return replace(_exported(load_exported(path), str(path)), path=path)
    if kind == SCRIPTED:
        return replace(_scripted(load_scripted(path), str(path)), path=path)
    if kind in (PICKLED, LEGACY):
        return _from_state(source, path, read_state(source, path))
    raise BadArtefact(
        f"{path}: expected a torch exported program, TorchScript or a state dict; found "
        f"{_first_bytes(path)}: it is damaged, or something else"
    )


def _first_bytes(path: Path) -> str:
    with path.open("rb") as f:
        head = f.read(8)
    return f"first bytes {head!r}" if head else "an empty file"


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as e:
        raise UsageError(f"{path}: reading it needs safetensors: pip install safetensors") from e
    try:
        return dict(load_file(path))
    except Exception as e:  # safetensors' own exceptions have no base of theirs
        raise BadArtefact(f"{path}: not a whole safetensors file: {one_line(e)}") from e


def read_state(source: Source, path: Path) -> Mapping[str, Any]:
    """The weights in a file of torch.save. BadArtefact for anything that weights_only=True does not read."""
    import torch

    try:
        with quiet():
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # UnpicklingError, or whatever its readers raise
        raise _not_weights(source, path, e) from e
    for key in _WRAPPED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not any(isinstance(v, torch.Tensor) for v in found.values()):
        kind = type(found).__name__
        raise BadArtefact(f"{path}: expected a state dict (names to tensors), found a {kind}; save model.state_dict()")
    return dict(found)


def _not_weights(source: Source, path: Path, error: Exception) -> BadArtefact:
    text = one_line(error)
    if "Weights only load failed" not in text and "Unsupported" not in text:
        return BadArtefact(f"{path}: damaged, or not a file of torch.save: {text[:200]}")
    name = source.module or "pkg.mod:Class"
    return BadArtefact(
        f"{path}: holds a whole pickled object, not only weights, and loading it would run its code; save weights by "
        f"torch.save(model.state_dict(), 'state.pt') and type: gantline package state.pt --module {name} "
        f"--name {source.name}; or save a program by torch.export.save; or pass --trust-pickle if you trust the file"
    )


def _from_state(source: Source, path: Path, state: Mapping[str, Any]) -> Loaded:
    if not source.module:
        raise BadArtefact(
            f"{path}: holds {len(state)} weights but no program (first: {next(iter(state), 'none')}); say which class "
            f"they belong to: gantline package {path} --module pkg.mod:Class [--init '{{\"argument\": 1}}'] "
            f"--name {source.name} --sample FILE"
        )
    module = resolve(source.module, source.init)
    if not is_module(module):
        raise UsageError(f"{source.module}: is a {type(module).__name__}, expected a torch.nn.Module class")
    names = {k.removeprefix("module."): v for k, v in state.items()}  # nn.DataParallel's prefix
    state = names if len(names) == len(state) and all(k.startswith("module.") for k in state) else state
    try:
        module.load_state_dict(state, strict=True)
    except Exception as e:
        raise BadArtefact(f"{path}: does not fit {source.module}: {one_line(e)}") from e
    return replace(from_object(module, str(path)), path=path)


def is_module(found: Any) -> bool:
    """Whether an object is a torch.nn.Module, without importing torch."""
    return any(c.__module__.startswith("torch.nn.modules") and c.__name__ == "Module" for c in type(found).__mro__)


def is_program(found: Any) -> bool:
    """Whether an object is a torch.export.ExportedProgram, without importing torch."""
    return type(found).__module__.startswith("torch.export") and type(found).__name__ == "ExportedProgram"


def from_object(found: Any, where: str) -> Loaded:
    """A module or exported program in memory; the user's own object is left as it is (a copy is put in eval mode)."""
    import torch

    if is_program(found):
        return _exported(found, where)
    if not is_module(found):
        kind = f"{type(found).__module__}.{type(found).__qualname__}"
        raise BadArtefact(f"{where}: is a {kind}, expected a torch.nn.Module or ExportedProgram")
    if isinstance(found, torch.jit.ScriptModule):
        return _scripted(found.eval(), where)
    notes = ("the module was in training mode: packaged in evaluation mode",) if found.training else ()
    try:
        module = copy.deepcopy(found)
    except Exception:  # some modules hold what cannot be copied
        module = found
    return replace(_module(module.eval().cpu(), where), notes=notes)


def _module(module: Any, where: str) -> Loaded:
    parameters = list(inspect.signature(module.forward).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise BadArtefact(f"{where}: forward() takes *args, which have no names; give it named parameters")
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    positional_only = [p.name for p in named if p.kind is p.POSITIONAL_ONLY]

    def call(tensors: Mapping[str, torch.Tensor]) -> Any:
        first = [tensors[n] for n in positional_only]
        return module(*first, **{n: t for n, t in tensors.items() if n not in positional_only})

    names = tuple(p.name for p in named)
    required = tuple(p.name for p in named if p.default is p.empty)
    return Loaded(where, f"{type(module).__module__}.{type(module).__qualname__}", call, names, required, module)


def _scripted(module: Any, where: str) -> Loaded:
    try:
        arguments = module.forward.schema.arguments[1:]  # the first is self
    except (AttributeError, RuntimeError) as e:
        raise BadArtefact(f"{where}: TorchScript without a forward() method") from e
    names = tuple(str(a.name) for a in arguments)
    required = tuple(str(a.name) for a in arguments if not a.has_default_value())
    kind = str(getattr(module, "original_name", "") or "ScriptModule")
    return Loaded(where, kind, lambda tensors: module(**tensors), names, required, module, scripted=True)


def _exported(program: torch.export.ExportedProgram, where: str) -> Loaded:
    names = tuple(str(n) for n in program.graph_signature.user_inputs)
    with quiet():
        flat = call_exported(program)

    def call(tensors: Mapping[str, torch.Tensor]) -> Any:
        return flat([tensors[n] for n in names])

    return Loaded(where, "torch.export.ExportedProgram", call, names, names, program=program)
