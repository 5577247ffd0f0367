"""V2's statistics that do not go back when a worker dies."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.serve.statistics import Statistics, merge_statistics
from gantline.serve.telemetry import legacy_statistics
from gantline.serve.telemetry.legacy_statistics import LegacyStatistics


def entry(failed: int, name: str = "m", version: str = "1") -> dict[str, Any]:
    statistics = Statistics()
    for _ in range(failed):
        statistics.failed(1000, "unavailable")
    return statistics.to_json(name, version, [{"type": "CPU", "id": 0, "byte_size": 7}])


def told(legacy: LegacyStatistics, **workers: list[dict[str, Any]]) -> dict[str, int]:
    """Failures by model, as a client is told, the workers being `w1=entries`."""
    answers = {int(name[1:]): entries for name, entries in workers.items()}
    for number, answer in answers.items():
        legacy.saw(number, answer)
    rows = merge_statistics([*answers.values(), legacy.answer(answers)])
    assert all(r["memory_usage"][0]["byte_size"] == 7 * len(workers) for r in rows if r["name"] == "m")
    return {f"{r['name']}:{r['version']}": r["inference_stats"]["fail"]["count"] for r in rows}


def test_what_was_told_stays_told() -> None:
    legacy = LegacyStatistics()
    assert told(legacy, w1=[entry(5)], w2=[entry(7)]) == {"m:1": 12}
    assert told(legacy, w2=[entry(7)]) == {"m:1": 12}  # the other is dying, or silent
    legacy.ended(1)
    assert told(legacy, w2=[entry(8)]) == {"m:1": 13}
    assert told(legacy, w1=[entry(2)], w2=[entry(8)]) == {"m:1": 15}
    legacy.ended(1)
    legacy.ended(2)
    assert told(legacy, w1=[entry(0)]) == {"m:1": 15}
    legacy.ended(2)  # one that nobody had asked
    assert told(legacy, w1=[entry(0)]) == {"m:1": 15}
    assert repr(legacy) == "<LegacyStatistics workers=[1] gone=[('m', '1')]>"


def test_only_of_versions_that_are_asked_for_and_there() -> None:
    legacy = LegacyStatistics()
    told(legacy, w1=[entry(1), entry(2, "n"), entry(4, "m", "2")])
    assert told(legacy, w1=[entry(3)]) == {"m:1": 3}  # what is known of the others stays
    legacy.ended(1)
    assert told(legacy, w1=[entry(0, "n")]) == {"n:1": 2}
    assert told(legacy, w1=[entry(0), entry(0, "m", "2")]) == {"m:1": 3, "m:2": 4}


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_statistics, "MAX_VERSIONS", 2)
    legacy = LegacyStatistics()
    told(legacy, w1=[entry(1, "a"), entry(1, "b"), entry(1, "c")])
    legacy.ended(1)
    legacy.saw(2, [entry(1, "d")])
    legacy.ended(2)
    assert "gone=[('c', '1'), ('d', '1')]" in repr(legacy)
