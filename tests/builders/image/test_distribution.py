"""What wheels say of themselves."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from gantline.builders.image.distribution import Distribution
from gantline.builders.image.wheel import Wheel

from gantline.errors import BadArtefact


def read(tmp_path: Path, metadata: str, *more: str) -> Distribution:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.0.dist-info/METADATA", "Metadata-Version: 2.4\nName: x\nVersion: 1.0\n" + metadata)
        for name in more:
            archive.writestr(name, "text")
    return Distribution.read(Wheel.open(path))


@pytest.mark.parametrize(
    ("metadata", "expression", "licence"),
    [
        ("License-Expression: MIT AND (Apache-2.0 OR BSD-3-Clause)\n", "MIT AND (Apache-2.0 OR BSD-3-Clause)", None),
        ("License: Apache 2.0\n", "Apache-2.0", "Apache 2.0"),
        ("License: BSD-3-Clause\n", "BSD-3-Clause", None),
        ("Classifier: License :: OSI Approved :: MIT License\n", "MIT", "MIT License"),
        ("Classifier: License :: OSI Approved :: BSD License\n", "", "BSD License"),
        ("License: Proprietary, ask us\n", "", "Proprietary, ask us"),
        ("License: " + "word " * 1000 + "\nClassifier: License :: OSI Approved :: MIT License\n", "MIT", "MIT License"),
        ("", "", ""),
    ],
)
def test_licences(tmp_path: Path, metadata: str, expression: str, licence: str | None) -> None:
    found = read(tmp_path, metadata)
    assert found.expression == expression
    assert found.licence == (expression if licence is None else licence)


@pytest.mark.parametrize(
    ("metadata", "homepage"),
    [
        ("Home-page: https://x.org\n", "https://x.org"),
        ("Home-page: UNKNOWN\nProject-URL: Source, https://src\n", "https://src"),
        ("Project-URL: Changelog, https://c\nProject-URL: Homepage, https://h\n", "https://h"),
        ("", ""),
    ],
)
def test_where_it_comes_from(tmp_path: Path, metadata: str, homepage: str) -> None:
    assert read(tmp_path, metadata).homepage == homepage


def test_licence_files(tmp_path: Path) -> None:
    about = "x-1.0.dist-info"
    names = (f"{about}/licenses/LICENSE.txt", f"{about}/LICENCE", f"{about}/top_level.txt", "LICENSE")
    assert read(tmp_path, "", *names).texts == ("x-1.0.dist-info/LICENCE", "x-1.0.dist-info/licenses/LICENSE.txt")


def test_what_is_no_wheel(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(BadArtefact, match="no METADATA"):
        Distribution.read(Wheel.open(path))
