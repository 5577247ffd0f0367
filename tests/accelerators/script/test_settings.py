"""Settings of Azure's server: environment, config.json, defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.script.settings import read_settings

from gantline.errors import BadArtefact


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCORING_TIMEOUT_MS", "SERVICE_NAME", "SERVICE_VERSION", "AML_CORS_ORIGINS", "AZUREML_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_defaults(tmp_path: Path) -> None:
    found = read_settings(tmp_path, tmp_path, 0, 3600)
    assert (found.timeout_ms, found.cors) == (3_600_000, ())
    assert (found.service_name, found.service_version) == ("ML service", "1.0")


def test_what_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"SCORING_TIMEOUT_MS": 500, "SERVICE_NAME": "from file"}')
    assert read_settings(tmp_path, tmp_path, 0, 3600).timeout_ms == 500
    monkeypatch.setenv("SCORING_TIMEOUT_MS", "700")
    monkeypatch.setenv("AML_CORS_ORIGINS", "https://a, https://b,")
    found = read_settings(tmp_path, tmp_path, 0, 3600)
    assert (found.timeout_ms, found.service_name, found.cors) == (700, "from file", ("https://a", "https://b"))
    assert read_settings(tmp_path, tmp_path, 2.5, 3600).timeout_ms == 2500  # the command line


def test_a_named_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.json").write_text('{"SERVICE_VERSION": "9"}')
    monkeypatch.setenv("AZUREML_CONFIG_FILE", str(tmp_path / "other.json"))
    assert read_settings(tmp_path, tmp_path, 0, 1).service_version == "9"


@pytest.mark.parametrize("text", ["{", "[]", '{"SCORING_TIMEOUT_MS": "soon"}'])
def test_damage_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadArtefact):
        read_settings(tmp_path, tmp_path, 0, 1)
