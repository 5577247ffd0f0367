"""Bases from a tar."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.base import Base, find_python, open_base

from gantline.errors import BadArtefact, UsageError
from gantline.oci.store import Store

from .conftest import AMD64


def test_a_root_file_system(base: Base, rootfs: Path, store: Store) -> None:
    assert (base.interpreter, base.python) == ("/usr/bin/python3.11", (3, 11)), "the newest"
    assert store.has(base.layers[0].digest)
    assert open_base(str(rootfs), AMD64, store) == base


def test_which_python() -> None:
    files = frozenset({"usr/bin/python3.12", "usr/local/bin/python3.11", "usr/bin/python3.11-config"})
    assert find_python(files, "x") == ("/usr/local/bin/python3.11", (3, 11))
    with pytest.raises(BadArtefact, match=r"python:3\.11-slim"):
        find_python(frozenset({"usr/bin/python", "usr/bin/python3.11-config"}), "x")


def test_what_is_no_base(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_base(str(tmp_path / "not"), AMD64, store)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadArtefact, match="not a tar archive"):
        open_base(str(tmp_path / "text"), AMD64, store)
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(BadArtefact, match="python"):
        open_base(str(tmp_path / "empty.tar"), AMD64, store)
