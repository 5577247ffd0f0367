"""Environments of rivals: made once for a list, and anew when it changes, be it by an extra."""

from __future__ import annotations

import importlib.util
import os
import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that pip finds: two distributions, of which one needs the other for an extra."""
    for name, extra in (("big", "Provides-Extra: more\nRequires-Dist: small; extra == 'more'\n"), ("small", "")):
        about = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as z:
            z.writestr(f"{name}.py", "")
            z.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{extra}")
            z.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            z.writestr(f"{about}/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


@pytest.mark.slow  # pip makes environments
@pytest.mark.usefixtures("wheels")
def test_a_list_that_has_grown(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("rivals", root / "scripts" / "rivals.py")
    assert spec is not None and spec.loader is not None
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)
    monkeypatch.setattr(rivals, "HOME", tmp_path / "home")
    monkeypatch.setattr(rivals, "RIVALS", {"one": ("big==1.0",)})
    python = rivals.ensure("one")
    assert python.exists() and not list((tmp_path / "home").rglob("small.py"))
    (tmp_path / "home" / "one" / "kept").touch()
    assert rivals.ensure("one") == python and (tmp_path / "home" / "one" / "kept").exists(), "not made twice"

    monkeypatch.setattr(rivals, "RIVALS", {"one": ("big[more]==1.0",)})
    rivals.ensure("one")
    assert list((tmp_path / "home").rglob("small.py")) and not (tmp_path / "home" / "one" / "kept").exists()

    monkeypatch.setattr(rivals, "RIVALS", {"one": ("big==2.0",)})
    with pytest.raises(SystemExit, match=r"big==2\.0 could not be installed"):
        rivals.ensure("one")
    assert not (tmp_path / "home" / "one").exists()
