"""Needed: what the rules leave out of wheels and one's own modules read while they are imported, so that it stays.

Stubs are for checkers, but `lazy_loader` reads them at import (scikit-image is built on it); tests are for developers,
but a package may take its `test()` from there (astropy does). Read from the text alone; nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator

_READS_STUBS = b"attach_stub"  # lazy_loader's
_TESTS = "tests"
_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)  # what holds statements


def needed(paths: Collection[str], read: Callable[[str], bytes]) -> set[str]:
    """Of a wheel's `paths`, seen from site-packages, those that stay whatever the rules say. `read` gives the bytes."""
    there = set(paths)
    found: set[str] = set()
    waiting = [path for path in paths if path.endswith(".py") and _TESTS not in path.split("/")[:-1]]
    while waiting:
        path = waiting.pop()
        text = read(path)
        if _READS_STUBS in text and f"{path}i" in there:
            found.add(f"{path}i")
        for name in _imported(path, text) if _TESTS.encode() in text else ():
            for file in _files(name):
                if file in there and file not in found and _TESTS in file.split("/")[1:-1]:
                    found.add(file)
                    waiting.append(file)
    return found


def _files(module: str) -> Iterator[str]:
    """Where a module may lie, and the packages above it."""
    at = module.replace(".", "/")
    yield f"{at}.py"
    while at:
        yield f"{at}/__init__.py"
        at = at.rpartition("/")[0]


def _imported(path: str, text: bytes) -> Iterator[str]:
    """The modules that one imports while it is imported itself: what is within functions is not run then."""
    try:
        waiting: list[ast.AST] = [ast.parse(text)]
    except (SyntaxError, ValueError, RecursionError):
        return
    package = path.split("/")[:-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, _BLOCKS))
