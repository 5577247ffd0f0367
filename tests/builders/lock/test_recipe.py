"""What source archives say of how they are built, and archives that say nonsense."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from gantline.builders.lock.recipe import Recipe

from gantline.errors import BadArtefact

from .sdist import archive, sdist

LEGACY = Recipe(("setuptools>=40.8.0",), "setuptools.build_meta:__legacy__")


def test_what_they_say(tmp_path: Path) -> None:
    assert Recipe.of(sdist(tmp_path, "oak", "1.0")) == Recipe((), "backend", (".",))
    old = archive(tmp_path, "old-1.0", {"setup.py": "", "inner/pyproject.toml": "[build-system]\nrequires = ['x']"})
    assert Recipe.of(old) == LEGACY
    assert Recipe.of(archive(tmp_path, "a-1.0", {"pyproject.toml": "[project]\nname = 'a'"})) == LEGACY
    half = archive(tmp_path, "b-1.0", {"pyproject.toml": "[build-system]\nrequires = ['cython']"})
    assert Recipe.of(half) == Recipe(("cython", "setuptools>=40.8.0"), LEGACY.backend)
    with zipfile.ZipFile(tmp_path / "z-1.0.zip", "w") as z:
        z.writestr("z-1.0/pyproject.toml", "[build-system]\nrequires = ['hatch']\nbuild-backend = 'hatch.build'")
    assert Recipe.of(tmp_path / "z-1.0.zip") == Recipe(("hatch",), "hatch.build")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[build-system", "no source archive that can be read"),
        ("x = '" + "y" * (1 << 20) + "'", "longer than 1048576 bytes"),
        ("[build-system]\nbuild-backend = 'x'", "as PEP 518 wants it"),
        ("[build-system]\nrequires = 'setuptools'", "as PEP 518 wants it"),
        ("build-system = 3", "as PEP 518 wants it"),
    ],
)
def test_nonsense(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadArtefact, match=f"oak-1.0.tar.gz: .*{said}"):
        Recipe.of(archive(tmp_path, "oak-1.0", {"pyproject.toml": text}))


def test_what_is_no_archive(tmp_path: Path) -> None:
    for name in ("oak-1.0.tar.gz", "oak-1.0.zip"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(BadArtefact, match=f"{name}: no source archive"):
            Recipe.of(tmp_path / name)
