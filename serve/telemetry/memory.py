"""Memory: what loaded models hold, as far as it can be told without guessing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.session import Session

from gantline.packages import Package

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_of(session: Session) -> int:
    """Bytes of CPU memory that go with a session; 0 where they are not known.

    A script's hosts: what each shares with no other process. An engine in this process: the weights as its model file
    has them, which is the least that it holds; onnxruntime tells nobody what it adds to them.
    """
    if isinstance(session.program, ScriptEngine):
        return sum(own_memory(pid) for pid in session.program.crew.pids)
    return file_bytes(session.package)


def file_bytes(package: Package) -> int:
    """Bytes of a model file, with the weights that lie beside it; 0 for a package without one."""
    with contextlib.suppress(OSError):
        path = package.model_path
        if path.is_file():
            return sum(p.stat().st_size for p in (path, path.with_name(path.name + ".data")) if p.is_file())
    return 0


def own_memory(pid: int) -> int:
    """Bytes that a process holds and shares with nobody; 0 when it is gone or the system does not tell."""
    with contextlib.suppress(OSError):
        _, resident, shared = map(int, Path(f"/proc/{pid}/statm").read_bytes().split()[:3])
        return (resident - shared) * PAGE
    return 0
