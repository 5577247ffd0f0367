"""Bytecode that depends on the source alone, so that images start fast on a read-only root and come out the same.

Marked by the source's hash and never checked (PEP 552): no times, and no look at the source at start.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
import threading
import warnings

from .entry import Entry, of_bytes

_UNCHECKED = 0b01  # flags of PEP 552: by hash, not checked
_PLAIN = 2  # marshal's version without references: those depend on what else the compiling process holds
_ONE = threading.Lock()  # what warnings are shown is the whole process's
TAG = sys.implementation.cache_tag


def compiles(python: tuple[int, int]) -> bool:
    """Whether this interpreter makes bytecode for that version."""
    return python == sys.version_info[:2] and sys.implementation.name == "cpython"


def bytecode(path: str, source: bytes) -> Entry | None:
    """The .pyc for a source file at `path`; None for what does not compile, which is then the importer's to say."""
    try:
        with _ONE, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's code
            code = compile(source, "/" + path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError):
        return None
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(source)
    folder, _, name = path.rpartition("/")
    at = f"{folder}/__pycache__/{name.removesuffix('.py')}.{TAG}.pyc"
    return of_bytes(at, head + marshal.dumps(code, _PLAIN))
