"""What of a wheel does not belong in an image: rules with names, so that `explain` can say why a file is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

_HEADERS = frozenset({".h", ".hpp", ".hh", ".cuh", ".inl"})
_SOURCES = frozenset({".pxd", ".pyx", ".pxi", ".pyi", ".c", ".cc", ".cpp", ".cu", ".f90"})
_BUILDING = frozenset({".a", ".lib", ".la", ".cmake", ".pc", ".pdb"})
# parts of distributions that make models and do not run them
_PARTS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime/transformers/", "onnxruntime/tools/", "onnxruntime/quantization/"),
}


def _tests(path: PurePosixPath) -> bool:
    return "tests" in path.parts[1:-1]


RULES: dict[str, Callable[[PurePosixPath], bool]] = {
    "tests": _tests,
    "headers": lambda p: p.suffix in _HEADERS,
    "sources of extensions and types for checkers": lambda p: p.suffix in _SOURCES,
    "files for linking": lambda p: p.suffix in _BUILDING,
    "bytecode": lambda p: p.suffix == ".pyc",
}
# libraries for programs in C that would link with them; the extension module has a copy of all that is in it
_FOR_C = {"onnxruntime": re.compile(r"onnxruntime/capi/libonnxruntime\.so[.\d]*")}
VERSION = 4  # of the rules, `needed` among them: a change of them makes other layers


def pruned_by(distribution: str, path: str) -> str:
    """The name of the rule that leaves a file out, or nothing. `distribution` as normalised: lower case, `-`."""
    if any(path.startswith(part) for part in _PARTS.get(distribution, ())):
        return "parts that make models"
    if (library := _FOR_C.get(distribution)) and library.fullmatch(path):
        return "libraries for C"
    pure = PurePosixPath(path)
    return next((name for name, leaves_out in RULES.items() if leaves_out(pure)), "")
