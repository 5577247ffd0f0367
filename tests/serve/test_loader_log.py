"""What the log says of loading and letting go."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from gantline.serve.loader import Loader

from .test_loader import at


def test_the_log_tells_what_was_asked_for(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(loader: Loader) -> None:
        with caplog.at_level(logging.INFO):
            await loader.reload("double")
            await loader.reload("double")
            await loader.unload("double")
            await loader.unload("double")

    at([zoo / "double.onnx"], test)
    assert [r.getMessage() for r in caplog.records if r.name == "gantline.loader"] == [
        "model 'double': version 1 serves",
        "model 'double': version 1 has taken over from 1",
        "model 'double' is unloaded: what it has accepted is answered",
    ]
