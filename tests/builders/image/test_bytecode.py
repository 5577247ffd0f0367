"""Bytecode that Python takes without a look at the source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gantline.builders.image.bytecode import bytecode, compiles

SOURCE = b'X = "from bytecode"\ndef f(a, b=(1, 2.5, None, "t")):\n    """Doc."""\n    return {a: b for _ in (1,)}\n'


def written(folder: Path, source: bytes = SOURCE) -> Path:
    compiled = bytecode("site/mod.py", source)
    assert compiled is not None and compiled.open is not None
    path = folder / compiled.path
    path.parent.mkdir(parents=True)
    with compiled.open() as f:
        path.write_bytes(f.read())
    return path


def test_it_is_what_python_runs(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "site" / "mod.py").write_text('X = "from source"\ndef f(a): ...\n')  # unchecked: not looked at
    code = "import mod; print(mod.X, mod.f(1), mod.f.__doc__)"
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "site", capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "from bytecode {1: (1, 2.5, None, 't')} Doc."


def test_it_depends_on_the_source_alone(tmp_path: Path) -> None:
    here = written(tmp_path / "a").read_bytes()
    kept = [compile(SOURCE, "x", "exec") for _ in range(3)]  # names that are interned, and referred to more often
    assert kept and written(tmp_path / "b").read_bytes() == here
    code = (
        "import sys; from gantline.builders.image.bytecode import bytecode;"
        "sys.stdout.buffer.write(bytecode('site/mod.py', sys.stdin.buffer.read()).open().read())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=SOURCE, capture_output=True, check=True)
    assert done.stdout == here


def test_what_is_no_python() -> None:
    assert bytecode("a/b.py", b"print 'of another age'") is None
    assert bytecode("a/b.py", b"\0") is None


def test_for_which_python() -> None:
    assert compiles((sys.version_info[0], sys.version_info[1]))
    assert not compiles((sys.version_info[0], sys.version_info[1] + 1))
