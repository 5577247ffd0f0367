"""What push and pull share: flags about connections, and the sums behind the bar."""

from __future__ import annotations

import argparse
import io
import sys

import pytest

from gantline.cli import transfer
from gantline.oci.progress import Step
from gantline.oci.wiring import Wiring


def step(digest: str, at: int, state: str = "moving", size: int = 10) -> Step:
    return Step(digest, f"title of {digest}", size, at, state)


def test_flags() -> None:
    parser = argparse.ArgumentParser()
    transfer.arguments(parser)
    args = parser.parse_args(["--plain-http", "--ca-file", "a", "--client-cert", "b", "--client-key", "c"])
    assert transfer.wiring(args) == Wiring(True, "a", "b", "c") and args.jobs == 4
    assert transfer.wiring(parser.parse_args([])) == Wiring()


def test_sums() -> None:
    tally = transfer.Tally()
    for one in (
        step("a", 0, "waiting"),
        step("b", 0, "waiting", 100),
        step("c", 0, "waiting"),
        step("b", 40, size=100),
    ):
        tally.add(one)
    assert (tally.at, tally.total, tally.what) == (40, 120, "title of b")
    tally.add(step("c", 10, "there"))
    tally.add(step("a", 10, "done"))
    tally.add(step("b", 8, size=100))  # sent again from there
    assert (tally.at, tally.total) == (18, 110)


def test_amounts() -> None:
    assert transfer.amounts(2048, 0) == "2.0 KiB new, 0 B reused"
    assert transfer.amounts(0, 5, 7) == "0 B new, 5 B reused, 7 B mounted from other repositories"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, quiet, shows in ((Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with transfer.bar("push", quiet) as told:
            told(step("a", 0, "waiting", 5 << 20))
            told(step("a", 1 << 20, size=5 << 20))
        assert ("push" in stream.getvalue()) is shows
