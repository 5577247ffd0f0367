"""All that an image has to meet: what serves, by engine, and what the package's own code asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.image.runtime import requirements
from gantline.builders.lock.asked import RUNTIME, SCRIPT
from gantline.builders.lock.request import check_python, everything, for_script
from gantline.builders.lock.sources import Sources

from gantline.errors import UsageError

from .tiny import package


@pytest.mark.parametrize(("engine", "has"), [("onnx", True), ("script", False), ("torch", False), ("null", False)])
def test_only_one_engine_needs_onnxruntime(tmp_path: Path, engine: str, has: bool) -> None:
    lines = requirements(engine)
    assert any(line.startswith("onnxruntime") for line in lines) is has
    assert any(line.startswith("numpy") for line in lines) and not any("extra" in line for line in lines)
    asked, _ = everything(package(tmp_path / "p", (), engine), Sources())
    assert any(one.name == "torch" for one in asked) is (engine == "torch")
    assert {one.line for one in asked if one.origin == "gantline"} == set(lines)


def test_the_packages_lines_and_options(tmp_path: Path) -> None:
    made = package(tmp_path / "p", ["forest==1", "--extra-index-url https://x.invalid/simple"])
    asked, sources = everything(made, Sources())
    assert [(a.line, a.origin) for a in asked if a.group == SCRIPT] == [("forest==1", "the package")]
    assert sources.extra == ("https://x.invalid/simple",)
    assert all(a.group == RUNTIME for a in asked if a.origin == "gantline")
    assert [a.line for a in for_script(asked)] == ["forest==1", "numpy"], "its process needs numpy"
    asked, _ = everything(package(tmp_path / "q", ["NumPy<2"]), Sources())
    assert [a.line for a in for_script(asked)] == ["NumPy<2"]


def test_a_model_without_a_script_asks_for_nothing_of_its_own(tmp_path: Path) -> None:
    asked, _ = everything(package(tmp_path / "p", ["forest==1"], "onnx"), Sources())
    assert all(one.origin == "gantline" for one in asked)


def test_pythons(tmp_path: Path) -> None:
    made = package(tmp_path / "p", ["forest"], python="3.12.4")
    check_python(made, (3, 12))
    with pytest.raises(UsageError, match=r"asks for Python 3\.12\.4, and the lock is for 3\.11.*--python"):
        check_python(made, (3, 11))
    check_python(package(tmp_path / "q", ["forest"], "onnx", "3.12"), (3, 11))
    with pytest.raises(UsageError, match=r"Python 3\.10: servers run on 3\.11 or newer"):
        check_python(made, (3, 10))
