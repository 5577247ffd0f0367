"""Counts outlive a reload, and what is remembered has bounds."""

from __future__ import annotations

import pytest
from gantline.serve.telemetry import ledger as module
from gantline.serve.telemetry.ledger import Ledger
from gantline.serve.telemetry.snapshot import Snapshot, merge

from gantline.errors import NotFound, Unavailable


def everything(ledger: Ledger) -> Snapshot:
    out: Snapshot = {}
    for _ in ledger.read(out):
        pass
    return out


def rows(ledger: Ledger) -> dict[tuple[str, str], int]:
    out = everything(ledger)
    return {(labels[0], labels[1]): value for labels, value in out["gantline_rows"]}


def test_a_version_that_comes_back_goes_on_with_its_counts() -> None:
    loaded = {("m", "1")}
    ledger = Ledger(lambda name, version: (name, version) in loaded)
    ledger.of("m", "1").executed([], 5, 0, (0, 0, 0), "idle")
    loaded.clear()
    again = ledger.of("m", "1")
    again.executed([], 2, 0, (0, 0, 0), "idle")
    assert again.inference_count == 7
    assert ledger.of("m", "2").inference_count == 0
    assert rows(ledger) == {("m", "1"): 7, ("m", "2"): 0}


def test_the_oldest_that_are_unloaded_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNLOADED", 3)
    ledger = Ledger(lambda name, version: version == "1")
    for version in range(1, 11):
        ledger.of("m", str(version)).executed([], version, 0, (0, 0, 0), "idle")
    # the one that is loaded stays, however old
    assert rows(ledger) == {("m", "1"): 1, ("m", "7"): 7, ("m", "8"): 8, ("m", "9"): 9, ("m", "10"): 10}


def test_beyond_the_cap_all_others_are_one_row_that_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SHOWN", 2)
    monkeypatch.setattr(module, "MAX_UNLOADED", 2)
    ledger = Ledger(lambda name, version: name in ("m0", "m1"))
    seen = 0
    for i in range(20):
        ledger.of(f"m{i}", "1").executed([], 1, 0, (0, 0, 0), "idle")
        found = rows(ledger)
        others = found.pop(("other", ""), 0)
        assert others >= seen and set(found) <= {("m0", "1"), ("m1", "1")}
        seen = others
    assert seen == 18
    out = everything(ledger)
    assert merge([out])["gantline_request_seconds"]  # histograms, too


def test_requests_that_meet_no_model_are_counted_without_the_name_that_they_asked_for() -> None:
    ledger = Ledger(lambda name, version: True)
    ledger.refused(NotFound("model 'x' is not found"))
    ledger.refused(NotFound("model 'y' is not found"))
    ledger.refused(Unavailable("model 'z' is not ready", "not_ready"))
    out = everything(ledger)
    assert out["gantline_rejections"] == [[["", "", "not_found"], 2], [["", "", "not_ready"], 1]]
