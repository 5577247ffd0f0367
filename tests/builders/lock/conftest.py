"""A machine of its own for each test: caches, homes and settings of nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .tiny import runtime_wheels


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No index, directory, certificate or cache of this machine's."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of tiny wheels of all that the runtime asks for; tests do not write into it."""
    return runtime_wheels(tmp_path_factory.mktemp("house"))
