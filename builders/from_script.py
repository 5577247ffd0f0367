"""From a scoring script: a directory or a file with run(), as Azure ML takes it, or infer(), packaged as it is."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gantline.accelerators.script.request_file import read_request

from gantline.errors import BadArtefact, UsageError
from gantline.manifest import EnvironmentRequest, ScriptInfo
from gantline.signature import Signature

from .script_signature import signature_of, yields
from .source import Conversion, Source

CODE, MODELS = "code", "models"
USUAL = ("score.py", "main.py")  # what Azure's samples and its server call the script
REQUESTS = ("requirements.txt", "conda.yml", "conda.yaml", "environment.yml", "environment.yaml")
PICKLES = frozenset((".pkl", ".pickle", ".joblib", ".pt", ".pth", ".dill", ".cloudpickle"))
_RUN = frozenset(("run", "run_batch", "driver_module"))
_LEFT_OUT = frozenset((
    "__pycache__", ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".ipynb_checkpoints", ".idea", ".vscode", ".DS_Store",
    ".env", ".netrc", ".pypirc",  # passwords: a package is sent to others
))  # fmt: skip


def recognises(source: Source) -> bool:
    """A script named by --script, or a directory with a script at its top."""
    if source.object is not None or source.reference:
        return False
    if source.script is not None:
        return source.path is None or source.path.is_dir()
    return source.path is not None and source.path.is_dir() and _usual(source.path) is not None


def takes_body(source: Source) -> bool:
    """A sample is what a client sends to /score."""
    return True


def convert(source: Source, work: Path) -> Conversion:
    """Gather code and models. BadArtefact for a script that is not Python or lacks what its contract asks for.

    It is not run. A script with infer() and without run() has the contract `tensors`, else `azure`.
    """
    root, entry = _code(source)
    tensors = _check(root / entry)
    if tensors is not None and source.body is not None:
        raise UsageError("--sample is a body for a script with run(); one with infer() is packaged without")
    models = source.model_dir
    if models is not None and not models.exists():
        raise UsageError(f"--model-dir {models} does not exist")
    files: dict[str, Path] = {}
    if source.path is None and source.code is None:
        files[f"{CODE}/{entry}"] = root / entry
    else:
        files.update((f"{CODE}/{inside}", path) for inside, path in walk(root, models))
    if models is not None:
        found = {models.name: models} if models.is_file() else dict(walk(models, None))
        if not found:
            raise UsageError(f"--model-dir {models} holds no files")
        files.update((f"{MODELS}/{inside}", path) for inside, path in found.items())
    pickles = tuple(sorted(inside for inside, path in files.items() if is_pickle(path)))
    environment, notes = _environment(source, root)
    if pickles:
        notes += (f"may unpickle {', '.join(pickles[:4])}: `serve --no-pickle` refuses it",)
    script = ScriptInfo(entry, CODE, MODELS if models is not None else "", pickles=pickles)
    if tensors is not None:
        script = replace(script, contract="tensors", decoupled=tensors[1])
    return Conversion(
        engine="script",
        framework="Azure ML" if tensors is None else "",
        type="scoring script",
        files=files,
        signature=tensors[0] if tensors is not None else None,
        reason="a scoring script is served as it is, in a process of its own",
        notes=notes,
        manifest={"script": script, "environment": environment},
    )


def _code(source: Source) -> tuple[Path, str]:
    """The folder of code and the script's path in it."""
    root = source.code or source.path
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: not a directory of code")
    if source.script is None:
        assert root is not None
        entry = _usual(root)
        if entry is None:
            raise UsageError(f"{root}: no {' or '.join(USUAL)} in it; name the script with --script")
        return root, entry
    if root is None:
        if not source.script.is_file():
            raise UsageError(f"--script {source.script}: no such file")
        return source.script.parent, source.script.name
    for path in (root / source.script, source.script):
        if path.is_file():
            inside = os.path.relpath(path.resolve(), root.resolve())
            if inside.startswith(".."):
                raise UsageError(f"--script {source.script} is not inside {root}, the folder of code")
            return root, Path(inside).as_posix()
    raise UsageError(f"--script {source.script}: no such file, nor {root / source.script}")


def _usual(root: Path) -> str | None:
    return next((name for name in USUAL if (root / name).is_file()), None)


def _check(path: Path) -> tuple[Signature, bool] | None:
    """That the script parses and defines what its contract asks for, without running it.

    For a script with infer(): its signature, and whether it yields. None for one with run().
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as e:
        raise BadArtefact(f"{path} line {e.lineno}: not Python: {e.msg}") from e
    except (ValueError, OSError, RecursionError) as e:
        raise BadArtefact(f"{path}: cannot be read as Python: {e}") from e
    names, open_ended = _defined(tree.body)
    if "infer" in names and not names & _RUN:
        return signature_of(tree.body, path), yields(tree.body)
    if open_ended:
        return None  # `from x import *` may bring anything
    if "init" not in names:
        raise BadArtefact(f"{path}: the script does not define init(), which loads the model once")
    if not names & _RUN:
        raise BadArtefact(f"{path}: the script does not define run(data), which answers a request, nor infer(inputs)")
    return None


def _defined(body: list[ast.stmt]) -> tuple[set[str], bool]:
    """Names that a module's statements define, and whether there may be more."""
    names: set[str] = set()
    more = False
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((a.asname or a.name).partition(".")[0] for a in node.names)
            more = more or any(a.name == "*" for a in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            inner = [*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())]
            inner += [s for h in getattr(node, "handlers", ()) for s in h.body]
            deeper, also = _defined(inner)
            names |= deeper
            more = more or also
    return names, more


def walk(root: Path, without: Path | None, within: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Files under a folder by their path in it, sorted; caches, environments and packages are left out.

    BadArtefact for a link that leads out of it (or of `within`): a package is sent to others, and a folder of somebody
    else's may hold a link to a key of its user.
    """
    away = without.resolve() if without is not None else None
    for folder, folders, names in os.walk(root, followlinks=False):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not _skipped(here / f) and (here / f).resolve() != away)
        for link in [f for f in folders if (here / f).is_symlink()]:
            raise BadArtefact(f"{here / link}: a link to a directory cannot be packaged; copy what it points at")
        for name in sorted(names):
            path = here / name
            if name in _LEFT_OUT or name.endswith((".pyc", ".pyo")) or path.resolve() == away:
                continue
            if not path.is_file():
                raise BadArtefact(f"{path}: neither a file nor a directory (a broken link, a socket?)")
            check_link(path, within or root)
            yield path.relative_to(root).as_posix(), path


def check_link(path: Path, root: Path) -> None:
    """BadArtefact for a link that leads out of a folder."""
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        raise BadArtefact(
            f"{path}: a link out of {root}, to {path.resolve()}; if that is to be in the package, put a copy there: "
            f"`cp -rL {root} COPY` copies what links lead to"
        )


def _skipped(folder: Path) -> bool:
    return folder.name in _LEFT_OUT or (folder / "pyvenv.cfg").exists() or folder.name.endswith((".pkg", ".egg-info"))


def is_pickle(path: Path) -> bool:
    """Whether a file is named as pickles are, or begins as one."""
    if path.suffix.lower() in PICKLES:
        return True
    with path.open("rb") as f:
        start = f.read(2)
    return start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")  # a pickle's protocol number


def _environment(source: Source, root: Path) -> tuple[EnvironmentRequest, tuple[str, ...]]:
    """What --env says; else a request that lies beside the code; else the interpreter that serves."""
    if source.environment is not None:
        return read_request(source.environment), ()
    if source.path is not None or source.code is not None:
        for name in REQUESTS:
            if (root / name).is_file():
                return read_request(root / name), (f"environment: from {name} in the folder of code",)
    return EnvironmentRequest(), ("environment: the interpreter that serves; --env FILE gives it one of its own",)
