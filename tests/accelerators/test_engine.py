"""Finding the engine that a manifest names."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.engine import ENGINES, EngineOptions, load_engine
from gantline.accelerators.null import Null

from gantline.errors import UsageError
from gantline.manifest import Manifest
from gantline.packages import Package


def test_by_name(tmp_path: Path) -> None:
    engine = load_engine(Package(tmp_path, Manifest(name="n", engine="null"), None), EngineOptions())
    assert isinstance(engine, Null)


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"package 'n': engine 'fpga' is not available; known: onnx"):
        load_engine(Package(tmp_path, Manifest(name="n", engine="fpga"), None), EngineOptions())


def test_every_row_of_the_table_can_be_imported() -> None:
    from importlib import import_module
    from importlib.util import find_spec

    for name, where in ENGINES.items():
        module, function = where.split(":")
        assert find_spec(module) is not None, name
        if name != "torch":  # an extra
            assert callable(getattr(import_module(module), function))
