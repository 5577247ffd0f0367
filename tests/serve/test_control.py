"""Verbs done in one process, and fanned out to several."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gantline.serve.control import Control, Effect, first

from gantline.errors import NotFound


def test_a_verb_runs_here_and_its_answer_is_merged() -> None:
    control = Control()

    async def double(arguments: dict[str, Any]) -> int:
        return int(arguments["n"]) * 2

    control.register("double", double, sum)
    assert asyncio.run(control.call("double", n=4)) == 8


def test_several_workers_answer_as_one() -> None:
    control = Control()

    async def fail(arguments: dict[str, Any]) -> int:
        raise NotFound("not here")

    async def fan_out(verb: str, arguments: dict[str, Any], effect: Effect | None) -> list[Any]:
        assert arguments == {"what": "requests"} and effect == {"count": None, "reset": Effect("of requests")}[verb]
        return [3, 4]

    control.register("count", fail, sum)
    control.register("reset", fail, max, lambda arguments: f"of {arguments['what']}")
    control.fan_out = fan_out
    assert asyncio.run(control.call("count", what="requests")) == 7
    assert asyncio.run(control.call("reset", what="requests")) == 4
    with pytest.raises(NotFound, match="not here"):
        asyncio.run(control.here("count", {}))


def test_by_default_all_answer_alike() -> None:
    assert first(["a", "a"]) == "a"
