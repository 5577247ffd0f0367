"""RouteTable: paths come and go with the versions that they mean."""

from __future__ import annotations

from typing import Any

from gantline.serve.route_table import RouteTable


def test_paths_come_and_go() -> None:
    table = RouteTable(lambda name, version: [f"/{name}/{version}".encode(), f"/also/{name}/{version}".encode()])
    one: Any = "one"
    two: Any = "two"
    table.put("m", {"1": one, "": one})
    assert table.models == {b"/m/1": one, b"/also/m/1": one, b"/m/": one, b"/also/m/": one}
    table.put("m", {"2": two, "": two})
    assert table.models == {b"/m/2": two, b"/also/m/2": two, b"/m/": two, b"/also/m/": two}
    table.put("n", {"1": one})
    table.put("m", {})
    assert table.models == {b"/n/1": one, b"/also/n/1": one}
    table.put("unknown", {})
    table.put("n", {})
    assert table.models == {}
