"""The report: a page and a picture of whatever was measured."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from peers_report import DISTURBED, TRITON, picture, table


def tree(**more: Any) -> dict[str, Any]:
    rows = [
        {
            "workload": "a", "server": server, "kind": kind, "wire": "V2 JSON", "connections": c,
            "per_second": rate * c, "p50_ms": 0.5, "p99_ms": None, "failed": 0,
        }
        for server, kind, rate in (("gantline, 1 worker", "gantline", 1000.0), ("A & B", "python", 20.0))
        for c in (1, 32, 64)
    ]  # fmt: skip
    starts = [
        {"workload": "a", "server": s, "settings": "default", "wire": "V2 JSON", "start_s": 0.5, "rss_mb": 99.0}
        for s in ("gantline, 1 worker", "A & B")
    ]
    verdict = {
        "about": "a", "ours": "gantline, 1 worker", "theirs": "A & B", "wanted": 15, "got": 50.0, "at_most": False,
        "met": True,
    }  # fmt: skip
    machine = {"cpu": "a processor", "cores": 2, "load_before": 0.1}
    base = {"machine_before": machine, "rows": rows, "starts": starts, "verdicts": [verdict], "missing": []}
    return {**base, "average_batch": {}, **more}


def test_the_page() -> None:
    text = table(tree(missing=[{"workload": "a", "server": "C", "reason": "no | such"}]))
    assert "| gantline, 1 worker | default | V2 JSON | 1,000 | 0.500 | 32,000 |" in text
    assert "| a | gantline, 1 worker | A & B | >= 15 | 50.00 | yes |" in text
    assert "| a | C | no / such |" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    loop = {
        "workload": "a", "server": "loop", "kind": "loop", "wire": "none", "connections": 0,
        "per_second": 5.0, "p50_ms": 1.0, "p99_ms": 1.0, "failed": 0,
    }  # fmt: skip
    lines = table(tree(rows=[*tree()["rows"], loop])).splitlines()
    blocks = "\n".join(lines).split("\n\n")
    tables = [b.splitlines() for b in blocks if b.startswith("|")]
    assert tables
    assert [{line.count("|") for line in t} for t in tables] == [{t[0].count("|")} for t in tables]


def test_a_ratio_that_cannot_be_is_said_to_be_one() -> None:
    (verdict,) = tree()["verdicts"]
    loop = {**verdict, "theirs": "onnxruntime in a loop, one row"}
    assert DISTURBED in table(tree(verdicts=[{**loop, "got": 1.5}]))
    assert DISTURBED not in table(tree(verdicts=[{**loop, "got": 0.99}, verdict]))


def test_a_ratio_of_which_nothing_is_wanted_is_neither_met_nor_missed() -> None:
    (verdict,) = tree()["verdicts"]
    told = {**verdict, "theirs": "T", "wanted": None, "met": None, "got": 0.8}
    rows = [{**r, "kind": "triton-cpp"} if r["server"] == "A & B" else r for r in tree()["rows"]]
    text = table(tree(rows=rows, verdicts=[told]))
    assert "| a | gantline, 1 worker | T |  | 0.80 |  |" in text
    assert TRITON in text
    assert TRITON not in table(tree())


def test_a_server_that_ended_half_way() -> None:
    rows = [r for r in tree()["rows"] if r["connections"] == 1 or r["kind"] == "gantline"]
    assert "| A & B | default | V2 JSON | 20 | 0.500 |  |  |  |  |  | 0 | 0.50 | 99 |" in table(tree(rows=rows))


def test_the_picture() -> None:
    root = ElementTree.fromstring(picture(tree()))
    texts = [t.text or "" for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "A & B" in texts
    assert "64,000" in texts
    widths = [float(r.get("width", 0)) for r in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] > widths[2] > 0
