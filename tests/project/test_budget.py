"""Small files and small functions, in the sources and in the tests."""

from __future__ import annotations

import ast
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
OURS = (".py", ".sh", "Makefile", "run")


def test_files(root: Path, tracked: list[Path]) -> None:
    ours = [p for p in tracked if p.name.endswith(OURS)]
    assert len(ours) > 50
    lines = {str(p): (root / p).read_text("utf-8").count("\n") for p in ours}
    assert {name: n for name, n in lines.items() if n > FILE_LINES} == {}


def test_functions(root: Path, tracked: list[Path]) -> None:
    long = []
    for path in (p for p in tracked if p.suffix == ".py"):
        for node in ast.walk(ast.parse((root / path).read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


def test_every_module_says_what_it_is(root: Path, sources: list[Path]) -> None:
    texts = {str(p): (root / p).read_text("utf-8") for p in sources}
    silent = [name for name, text in texts.items() if text and ast.get_docstring(ast.parse(text)) is None]
    assert silent == []


def test_no_grab_bags(sources: list[Path]) -> None:
    grab_bags = {"utils", "helpers", "common", "misc", "util", "helper"}
    assert [str(p) for p in sources if p.stem in grab_bags or p.stem.startswith("base_")] == []
