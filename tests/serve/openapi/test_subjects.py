"""Models as descriptions need them: the first row of a golden sample, zeros without one, a script's body."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gantline.serve.entry import Entry
from gantline.serve.openapi.subjects import served, subject_of, told

import gantline
from gantline.packages import Package

if TYPE_CHECKING:
    from tests.serve.conftest import Running


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, zoo: Path) -> Package:
    """double: x [N,3] -> x + x, with a golden sample."""
    rows = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows.write_text("a,b,c\n" + "1.5,2,3\n" * 10)
    return gantline.package(zoo / "double.onnx", name="double", sample=rows, output=rows.with_name("double.pkg"))


def test_the_first_row_of_the_golden_sample(package: Package) -> None:
    found = subject_of(Entry("double", "1", package), None)
    assert found.recorded and np.array_equal(found.sample["x"], np.array([[1.5, 2, 3]], np.float32))
    assert found.signature == package.manifest.signature


def test_zeros_without_one(package: Package, zoo: Path) -> None:
    found = subject_of(Entry("double", "1", package), None, largest=100)
    assert not found.recorded and np.array_equal(found.sample["x"], np.zeros((1, 3), np.float32))
    assert subject_of(Entry("double", "1", package), None, largest=10).sample == {}
    assert subject_of(Entry("double", "1", Package.bare(zoo / "double.onnx", "double")), None).sample == {}


def test_a_broken_package_has_nothing() -> None:
    found = subject_of(Entry("m", "1", None, problem="damaged"), None)
    assert not found.signature.inputs and not found.sample and told(Entry("m", "1", None), None, True) == {}


def test_what_a_package_says_of_itself(package: Package) -> None:
    found = told(Entry("double", "1", package), None, lineage=True)
    assert (
        found["digest"] == package.digest and found["engine"] == "onnx" and found["lineage"]["source"] == "double.onnx"
    )
    assert "lineage" not in told(Entry("double", "1", package), None, lineage=False)


def test_the_best_version_comes_first(
    servers: Callable[..., Running], tmp_path: Path, scaler: Callable[..., Path]
) -> None:
    for version in (1, 2):
        scaler(tmp_path / "m" / str(version) / "model.onnx", 2.0)
    (tmp_path / "m" / "config.pbtxt").write_text("version_policy { all {} }")
    server = servers(tmp_path)
    repository = server.stack.repository
    slots = server.on_loop(lambda: list(served(repository, None)))
    assert [s.entry.version for s in slots] == ["2", "1"]
    assert server.on_loop(lambda: list(served(repository, frozenset({"other"})))) == []
    assert server.on_loop(lambda: list(served(repository, None, "none"))) == []


SCRIPT = """
import json

def init():
    pass

def run(raw_data):
    return json.loads(raw_data)
"""


def test_a_scripts_body(servers: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "body.json").write_text('{"a": [1, 2]}')
    script, sample = tmp_path / "score.py", tmp_path / "body.json"
    one = gantline.package(script=script, name="echo", env="current", sample=sample, output=tmp_path / "echo.pkg")
    server = servers(one.path)
    slot = next(server.stack.repository.slots("echo"))
    found = subject_of(slot.entry, slot.model)
    assert found.script is not None and found.script.body == '{"a": [1, 2]}' and found.script.takes == {}
    assert found.recorded and found.sample["data"].tolist() == [b'{"a": [1, 2]}']  # V2 asks scripts, too


def test_a_model_that_its_first_request_loads(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo, load="on-demand")
    found = server.on_loop(lambda: [slot.entry.name for slot in served(server.stack.repository, None)])
    assert found == ["centre", "double", "lookup", "positive", "toil"]
