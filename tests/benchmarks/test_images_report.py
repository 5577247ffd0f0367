"""The page of images beside those of others: ratios to ours, the limits, and who is missing."""

from __future__ import annotations

from typing import Any

from images_report import page


def beside(**others: dict[str, Any]) -> dict[str, Any]:
    ours = {"tree": {"above base MB": 80.0, "files": 4000, "start s": 0.5, "edit": {"s": 0.5, "kB": 20.0}}}
    return {
        "notes": {"s": "seconds"}, "model MB": {"tree": 0.0012, "resnet50": 102.0},
        "floors": {"tree": {"python alone s": 0.1, "model alone s": 0.4}},
        "by": {"gantline": ours, **others},
    }  # fmt: skip


def test_ours_in_figures_and_others_in_ratios() -> None:
    text = page(beside(mlflow={"tree": {"above base MB": 400.0, "files": 40_000, "start s": 5.0}}))
    assert "| | above base MB | files | start s | edit s | edit kB |" in text
    assert "| gantline | 80 | 4,000 | 0.50 | 0.50 | 20 |" in text
    assert "| MLflow | 5.0x | 10.0x | 10.0x |  |  |" in text
    assert "the model has 0.0012 MB; a container that only starts Python takes 0.10 s, ours 5.0x that" in text
    assert "loads it takes 0.40 s, ours 1.2x that." in text


def test_who_is_missing_is_said() -> None:
    assert "BentoML is missing: no index." in page(beside(bentoml={"skipped": "no index"}))
    assert "Not compared: podman: not installed." in page({"skipped": "podman: not installed"})
