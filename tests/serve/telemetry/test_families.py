"""The table of metrics holds to the conventions that its readers rely on."""

from __future__ import annotations

import re

from gantline.serve.telemetry.families import COARSE, FAMILIES
from gantline.serve.telemetry.histogram import BOUNDS


def test_names_are_good_and_no_line_has_two_owners() -> None:
    lines = [name for family in FAMILIES.values() for name in family.samples]
    assert len(lines) == len(set(lines))
    for name, family in FAMILIES.items():
        assert re.fullmatch(r"(gantline|process|nv_inference)_[a-z_]+", name)
        assert not name.endswith(("_total", "_info", "_count", "_sum", "_bucket")) or family.bare
        assert family.help.endswith(".")
        assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)


def test_shown_bounds_are_among_those_counted() -> None:
    assert [b / 1000 for b in COARSE[:5]] == [1, 2, 5, 10, 20]
    for family in FAMILIES.values():
        assert (family.kind == "histogram") == bool(family.bounds)
        assert set(family.shown) <= set(family.bounds) and list(family.shown) == sorted(family.shown)
    assert FAMILIES["gantline_request_seconds"].shown == BOUNDS


def test_units_are_told_by_names() -> None:
    assert FAMILIES["gantline_phase_seconds"].unit == "seconds"
    assert FAMILIES["process_resident_memory_bytes"].unit == "bytes"
    assert FAMILIES["gantline_rows"].unit == ""
