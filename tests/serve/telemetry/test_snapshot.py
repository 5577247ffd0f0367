"""Several processes' metrics become those of one, whatever the order in which they are put together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gantline.serve.telemetry.families import FAMILIES
from gantline.serve.telemetry.histogram import Histogram
from gantline.serve.telemetry.snapshot import Snapshot, add, merge, relabelled
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("gantline_rows", "gantline_ready", "gantline_request_seconds", "gantline_build", "process_start_time_seconds")


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Rows as processes of one server have them: what a build is, all agree on."""
    out: Snapshot = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        family = FAMILIES[name]
        keys = st.tuples(*[st.sampled_from(["a", "b"]) for _ in family.labels])
        for labels in draw(st.sets(keys, max_size=4)):
            value: Any = 1
            if family.kind == "histogram":
                value = histogram_of(draw(st.lists(st.integers(0, 10**11), max_size=5))).to_json()
            elif family.kind != "info":
                value = draw(st.integers(0, 10**15))
            add(out, name, value, *labels)
    return out


def histogram_of(durations: list[int]) -> Histogram:
    histogram = Histogram()
    for ns in durations:
        histogram.observe(ns)
    return histogram


@settings(max_examples=40, deadline=None)
@given(snapshots(), snapshots(), snapshots())
def test_merging_is_associative_and_commutative(a: Snapshot, b: Snapshot, c: Snapshot) -> None:
    whole = merge([a, b, c])
    assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([c, b, a]) == whole
    assert merge([whole]) == whole and merge([whole, {}]) == whole
    assert json.loads(json.dumps(whole)) == whole


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**12), max_size=30), min_size=1, max_size=5))
def test_merged_histograms_are_that_of_the_union(workers: list[list[int]]) -> None:
    parts = []
    for durations in workers:
        one: Snapshot = {}
        add(one, "gantline_request_seconds", histogram_of(durations).to_json(), "m", "1")
        parts.append(one)
    union = histogram_of([ns for durations in workers for ns in durations]).to_json()
    assert merge(parts)["gantline_request_seconds"] == [[["m", "1"], union]]


def test_each_family_has_its_own_way_to_add_up() -> None:
    one: Snapshot = {}
    for name, value in (("gantline_ready", 1), ("gantline_workers", 1), ("process_start_time_seconds", 50)):
        add(one, name, value)
    other: Snapshot = {"gantline_ready": [[[], 0]], "gantline_workers": [[[], 1]]}
    assert merge([one, other]) == {
        "gantline_ready": [[[], 0]], "gantline_workers": [[[], 2]], "process_start_time_seconds": [[[], 50]],
    }  # fmt: skip


def test_rows_under_another_name_become_one() -> None:
    given: Snapshot = {}
    add(given, "gantline_rows", 3, "m", "1")
    add(given, "gantline_rows", 4, "m", "2")
    assert relabelled(given, model="other", version="")["gantline_rows"] == [[["other", ""], 7]]


def test_a_row_needs_all_its_labels() -> None:
    with pytest.raises(AssertionError):
        add({}, "gantline_rows", 1, "m")
    with pytest.raises(KeyError):
        add({}, "gantline_unheard_of", 1)
