"""What /metrics says is read by the parsers of the public client, in both formats, and means what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.serve.telemetry.exposition import OPEN_METRICS, TEXT, expose, negotiate
from gantline.serve.telemetry.families import FAMILIES
from gantline.serve.telemetry.histogram import Histogram
from gantline.serve.telemetry.snapshot import Snapshot, add
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

ODD = 'a "quoted" \\ back\nslash {x="y"} é'


def parsed(snapshot: Snapshot, kind: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = expose(snapshot, kind).decode()
    parse = parse_open if kind == OPEN_METRICS else parse_text
    return {(s.name, tuple(s.labels.items())): s.value for family in parse(text) for s in family.samples}


def full() -> Snapshot:
    """A row of each family."""
    out: Snapshot = {}
    for name, family in FAMILIES.items():
        value: Any = 7
        if family.kind == "histogram":
            histogram = Histogram()
            for ns in (500, 1000, 1001, 3_000_000, 10**12):
                histogram.observe(ns)
            value = histogram.to_json() if family.per != 1 else {"counts": [2, 1], "sum": 4}
        elif family.kind == "info":
            value = 1
        add(out, name, value, *[ODD] * len(family.labels))
    return out


@pytest.mark.parametrize("kind", [TEXT, OPEN_METRICS])
def test_every_family_can_be_read(kind: str) -> None:
    found = parsed(full(), kind)
    # this parser gives every counter that ending, whatever its line says
    bare = "_total" if kind == TEXT else ""
    assert {name for name, _ in found} == {
        line + (bare if family.bare and family.kind == "counter" else "")
        for family in FAMILIES.values()
        for line in family.samples
    }
    assert b"\nnv_inference_count{" in expose(full(), kind)
    labels = (("model", ODD), ("version", ODD))
    assert found["gantline_rows_total", labels] == 7
    assert found["nv_inference_request_duration_us" + bare, labels] == 0.007
    assert found["process_start_time_seconds", ()] == 7e-9
    buckets = {dict(k)["le"]: v for (n, k), v in found.items() if n == "gantline_request_seconds_bucket"}
    assert (buckets["1e-06"], buckets["1.5e-06"], buckets["0.003"], buckets["70.0"], buckets["+Inf"]) == (2, 3, 4, 4, 5)
    assert found["gantline_request_seconds_count", labels] == 5
    assert found["gantline_request_seconds_sum", labels] == pytest.approx(1000.003002501)
    rows = {dict(k)["le"]: v for (n, k), v in found.items() if n == "gantline_batch_rows_bucket"}
    assert (rows["1.0"], rows["2.0"], rows["1024.0"], rows["+Inf"]) == (2, 3, 3, 3)


@pytest.mark.parametrize("kind", [TEXT, OPEN_METRICS])
def test_the_kind_of_each_family_is_told(kind: str) -> None:
    text = expose(full(), kind).decode()
    parse = parse_open if kind == OPEN_METRICS else parse_text
    kinds = {f.name: (f.type, f.unit) for f in parse(text)}
    assert kinds["gantline_phase_seconds"] == ("histogram", "seconds" if kind == OPEN_METRICS else "")
    assert kinds["gantline_rows"][0] == "counter"
    # OpenMetrics has no counter without _total
    assert kinds["nv_inference_count"][0] == ("unknown" if kind == OPEN_METRICS else "counter")
    assert kinds["gantline_build" if kind == OPEN_METRICS else "gantline_build_info"][0] in ("info", "gauge")
    assert text.endswith("# EOF\n") == (kind == OPEN_METRICS)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_name_comes_through(name: str) -> None:
    # the public parsers split lines where str.splitlines does not: a carriage return is no end of a line
    snapshot: Snapshot = {}
    add(snapshot, "gantline_rows", 1, name, "1")
    for kind in (TEXT, OPEN_METRICS):
        ((_, labels),) = parsed(snapshot, kind)
        assert dict(labels) == {"model": name, "version": "1"}


def test_families_without_rows_are_not_mentioned() -> None:
    assert expose({}, TEXT) == b"" and expose({"gantline_rows": []}, OPEN_METRICS) == b"# EOF\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html, */*;q=0.1", TEXT),
        ("application/openmetrics-text; version=1.0.0", OPEN_METRICS),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=no", TEXT),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            OPEN_METRICS,
        ),
    ],
)
def test_the_format_is_the_one_that_the_client_would_rather_have(accept: str, kind: str) -> None:
    assert negotiate(accept) == kind
