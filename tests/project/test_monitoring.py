"""The dashboard and the alerts ask only for what /metrics says, by labels that it has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from gantline.serve.telemetry.families import FAMILIES, Family

ADDED = {"le", "instance", "job"}  # by the kind of a family, or by Prometheus
LINES: dict[str, Family] = {line: family for family in FAMILIES.values() for line in family.samples}
NAME = re.compile(r"\b(?:gantline|process|nv)_\w+")
# a metric with its selector, and the lists of labels of by (...) and on (...)
SELECTOR = re.compile(r"\b((?:gantline|process|nv)_\w+)\s*\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


@pytest.fixture(scope="module")
def alerts(root: Path) -> list[dict[str, Any]]:
    tree = yaml.safe_load((root / "docs/monitoring/alerts.yml").read_text())
    return [rule for group in tree["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "docs/monitoring/grafana.json").read_text())
    return found


def check(expression: str) -> None:
    names = NAME.findall(expression)
    assert names and set(names) <= set(LINES), expression
    for name, selector in SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= {*LINES[name].labels, *ADDED}, expression
    known = {label for name in names for label in LINES[name].labels} | ADDED
    for group in GROUPING.findall(expression):
        assert {label.strip() for label in group.split(",")} <= known, expression
    assert ("le" in expression) == ("histogram_quantile" in expression), expression


def test_alerts(alerts: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in alerts}) == len(alerts) >= 8
    for rule in alerts:
        check(rule["expr"])
        assert rule["labels"]["severity"] in ("warning", "critical") and rule["annotations"]["summary"]
        labels = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        groups = [label.strip() for group in GROUPING.findall(rule["expr"]) for label in group.split(",")]
        assert labels <= ({*groups} or {label for n in NAME.findall(rule["expr"]) for label in LINES[n].labels} | ADDED)


def test_reasons_that_alerts_ask_for_exist(alerts: list[dict[str, Any]]) -> None:
    from gantline.serve.telemetry.reasons import TABLE, TRITON

    words = {word for _, word in TABLE} | set(TRITON)
    asked = re.findall(r'reason(?:=~|!~|!=|=)"([^"]+)"', " ".join(rule["expr"] for rule in alerts))
    assert asked and {word for text in asked for word in text.split("|")} <= words


def test_the_dashboard(dashboard: dict[str, Any]) -> None:
    variables = {v["name"] for v in dashboard["templating"]["list"]} | {"__rate_interval"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert set(NAME.findall(variable["query"]["query"])) <= set(LINES)
    panels = dashboard["panels"]
    assert len({p["id"] for p in panels}) == len(panels) >= 10
    for panel in panels:
        for target in panel["targets"]:
            check(target["expr"])
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables
            names = [label for n in NAME.findall(target["expr"]) for label in LINES[n].labels]
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= {*names, *ADDED}
    for a in panels:  # none lies over another
        box = a["gridPos"]
        assert box["x"] >= 0 and box["x"] + box["w"] <= 24
