"""Imports: what a scoring script needs, read from its text: modules, and the distributions here that provide them.

Followed from the script through the files of its own that it imports; nothing is run.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gantline.accelerators.script.shims import MODULES

from gantline.errors import BadArtefact, Unsupported
from gantline.packages import Package

from ..pickle_scan import scan
from .asked import SCRIPT, Asked, normalised
from .conditions import holds, may_be_absent
from .installed import Installed, installed

_GIVEN = ("gantline",)  # is in every image
# a stand-in of ours that needs more than the standard library -> what
_NEEDED_BY = {"inference_schema.parameter_types.pandas_parameter_type": "pandas"}
_FORGIVING = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")


@dataclass(frozen=True, slots=True)
class Import:
    """A module that is imported, and where. `optional`: the code goes on without it."""

    module: str
    where: str
    optional: bool = False

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def requirements(package: Package) -> tuple[Asked, ...]:
    """A version of each distribution that the script imports, or that its pickles name: the one that was there when it
    was packaged, and where that is not recorded, the one that is installed here.

    BadArtefact names file and line of a module that neither is.
    """
    asked: dict[str, Asked] = {}
    for one, _, pins in _needed(package, package.manifest.environment.found):
        if not pins:
            raise BadArtefact(
                f"{one.where}, which is not installed here, so its version is not known; install it, or package the "
                "script with --env requirements.txt"
            )
        for pin in pins:
            asked.setdefault(pin.partition("==")[0], Asked(pin, one.where, SCRIPT))
    return tuple(asked[name] for name in sorted(asked))


def found_here(package: Package) -> dict[str, str]:
    """Module -> `name==version`, of several divided by blanks, for all that the script needs and is installed here.

    For the manifest's `environment.found`. A module is called by its first name, if nobody shares it.
    """
    return dict(sorted((module, " ".join(pins)) for _, module, pins in _needed(package, {}) if pins))


def _needed(package: Package, known: Mapping[str, str]) -> Iterator[tuple[Import, str, list[str]]]:
    """Each import of others' modules, what it is called in `known`, and its distributions; none: they are not here."""
    script = package.manifest.script
    if script is None:
        return
    code = package.path / script.code
    entry = code / script.entry
    provided = Provided()
    for one in (*_of_code(code, entry), *_of_pickles(package, (code, entry.parent))):
        module = _NEEDED_BY.get(one.module, one.module)
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in _GIVEN:
            continue
        if pins := (known.get(module) or known.get(top, "")).split():
            yield one, top, pins
            continue
        distributions = provided.by(module)
        if distributions and not (known and one.optional):  # it was not there when the script was packaged
            yield one, module if provided.shares(top) else top, list(map(_pin, distributions))
        elif not (provided.shares(top) or one.optional or one.module in MODULES or one.top in MODULES):
            yield one, top, []


def _pin(found: Installed) -> str:
    # 2.13.0+cpu is a build of 2.13.0
    return f"{normalised(found.name)}=={found.version.partition('+')[0]}"


class Provided:
    """The distributions installed here, by the first names of their modules; read when they are first asked for."""

    @cached_property
    def _tops(self) -> dict[str, list[Installed]]:
        tops: dict[str, list[Installed]] = {}
        for one in installed():
            for top in one.tops:
                tops.setdefault(top, []).append(one)
        return tops

    def by(self, module: str) -> list[Installed]:
        """The distributions of a module: where several share its first name (google), those that have the rest."""
        parts = module.split(".")
        found = self._tops.get(parts[0], [])
        for length in range(len(parts), 1, -1) if len(found) > 1 else ():
            if have := [one for one in found if one.has(".".join(parts[:length]))]:
                return have
        return found if len(found) < 2 else []  # the shared name alone: what follows it says which

    def shares(self, top: str) -> bool:
        """Whether the name is one that several have."""
        return len(self._tops.get(top, ())) > 1


def _of_code(root: Path, entry: Path) -> Iterator[Import]:
    """What `entry` and the files that it leads to import from elsewhere."""
    waiting, seen = [entry], {entry}
    while waiting:
        path = waiting.pop()
        for one in _of_file(path, root):
            local = _local(one.module, (root, entry.parent))
            if local is None:
                yield one
                continue
            waiting += [file for file in local if file not in seen]
            seen.update(local)


def _local(module: str, roots: tuple[Path, ...]) -> list[Path] | None:
    """The files of the script's own that a module's name leads to; None if it is somebody else's."""
    for root in dict.fromkeys(roots):
        place, files = root, []
        for part in module.split("."):
            place = place / part
            if (place / "__init__.py").is_file():
                files.append(place / "__init__.py")
            elif place.with_name(f"{part}.py").is_file():
                files.append(place.with_name(f"{part}.py"))
                break
            elif not place.is_dir():
                break
        if files or (root / module.partition(".")[0]).is_dir():
            return files
    return None


def _of_file(path: Path, root: Path) -> list[Import]:
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError) as e:
        raise BadArtefact(f"{path}: cannot be read as Python ({e})") from e
    package = list(path.relative_to(root).parent.parts) if path.is_relative_to(root) else []
    return [
        Import(module, f"{shown}:{line} imports {module}", optional)
        for module, line, optional in _walk(tree, package, False)
    ]


def _walk(node: ast.AST, package: list[str], optional: bool) -> Iterator[tuple[str, int, bool]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno, optional) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *filter(None, [node.module])])
        if module:
            yield module, node.lineno, optional
            # a submodule is imported so too, and only where it is the script's own does it matter
            yield from ((f"{module}.{alias.name}", node.lineno, True) for alias in node.names if alias.name != "*")
        else:
            yield from ((alias.name, node.lineno, optional) for alias in node.names)
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        argument = node.args[0] if node.args else None
        value = argument.value if isinstance(argument, ast.Constant) else None
        if called in ("import_module", "__import__") and isinstance(value, str) and value[:1] not in ("", "."):
            yield value, node.lineno, optional
    for child, may_fail in _children(node):
        yield from _walk(child, package, optional or may_fail)


def _children(node: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """What is in a node and runs in an image, and whether the code goes on without it."""
    if isinstance(node, ast.If):
        true, absent = holds(node.test), may_be_absent(node.test)
        yield node.test, False
        yield from ((one, absent) for one in node.body if true is not False)
        yield from ((one, absent) for one in node.orelse if true is not True)
    elif isinstance(node, ast.Try):
        forgiven = any(handler.type is None or _forgives(handler.type) for handler in node.handlers)
        yield from ((one, forgiven) for one in node.body)
        yield from ((one, False) for one in (*node.handlers, *node.orelse, *node.finalbody))
    elif isinstance(node, ast.With):
        yield from ((item.context_expr, False) for item in node.items)
        forgiven = any(_suppresses(item.context_expr) for item in node.items)
        yield from ((one, forgiven) for one in node.body)
    else:
        yield from ((one, False) for one in ast.iter_child_nodes(node))


def _forgives(caught: ast.expr) -> bool:
    several = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(ast.unparse(one).rpartition(".")[2] in _FORGIVING for one in several)


def _suppresses(manager: ast.expr) -> bool:
    """contextlib's suppress(ImportError)."""
    if not isinstance(manager, ast.Call) or ast.unparse(manager.func).rpartition(".")[2] != "suppress":
        return False
    return any(map(_forgives, manager.args))


def _of_pickles(package: Package, roots: tuple[Path, ...]) -> Iterator[Import]:
    """Modules of the classes that pickled models hold, which no line of the script need import."""
    script = package.manifest.script
    for name in script.pickles if script else ():
        try:
            names = scan(package.path / name).names
        except (BadArtefact, Unsupported):
            continue  # of another kind than it looks; whoever loads it will say so
        for top in sorted({one.module.partition(".")[0] for one in names}):
            if _local(top, roots) is None:
                yield Import(top, f"{name} holds objects of {top}", optional=top.startswith("_"))
