"""Bars: which rows of a comparison are set against which, and what comes of it."""

from __future__ import annotations

import pytest
from bars import Row, Verdict, verdicts
from measuring import Load


def row(server: str, kind: str, *per_second: float, connections: int = 32, wire: str = "V2 JSON", of: str = "a") -> Row:
    loads = [Load(n, 1000 * connections / n if connections else 1.0, 1.0, 0, 1000) for n in per_second]
    return Row(of, server, kind, wire, connections, loads)


def test_the_best_settings_count_on_both_sides() -> None:
    rows = [
        row("gantline, 1 worker", "gantline", 100, 110, 120),
        row("gantline, 2 workers", "gantline", 200, 240, 300),
        row("T, default", "triton", 10, 10, 10),
        row("T, batching", "triton", 100, 80, 100),
    ]
    (verdict,) = verdicts(rows)
    assert (verdict.ours, verdict.theirs, verdict.wanted) == ("gantline, 2 workers", "T, batching", 2.5)
    # the rounds' ratios are 2, 3 and 3: what disturbs one round disturbs both sides of it
    assert verdict.got == 3.0
    assert verdict.met


def test_an_echo_is_compared_with_as_many_workers() -> None:
    rows = [
        row("gantline, 1 worker", "gantline", 100),
        row("gantline, 2 workers", "gantline", 300),
        row("echo, 1 worker", "echo", 200),
        row("echo, 2 workers", "echo", 150),
    ]
    assert [(v.ours, v.got, v.met) for v in verdicts(rows)] == [
        ("gantline, 1 worker", 0.5, False),
        ("gantline, 2 workers", 2.0, True),
    ]


def test_the_share_of_a_latency_must_be_small() -> None:
    ours, theirs = row("gantline, 1 worker", "gantline", 4000, connections=1), row("T", "triton", 1000, connections=1)
    (verdict,) = verdicts([ours, theirs])
    assert (verdict.got, verdict.at_most, verdict.met) == (0.25, True, True)
    assert not Verdict("x", "a", "b", 0.45, 0.5, at_most=True).met


def test_grpc_and_http_are_kept_apart() -> None:
    rows = [
        row("front h2", "h2", 500, connections=64, wire="gRPC"),
        row("T", "triton", 100, connections=64, wire="gRPC"),
        row("gantline, 1 worker", "gantline", 30, connections=64, wire="gRPC"),
        row("gantline, 2 workers", "gantline", 60, connections=64, wire="gRPC"),
        row("gantline, 1 worker", "gantline", 900, connections=64),
        row("grpc.aio echo", "grpc-echo", 50, connections=64, wire="gRPC"),
    ]
    found = {v.about: v.got for v in verdicts(rows)}
    echo = "a, gRPC: grpcio over a raw grpcio echo, 1 worker"
    assert found == {"a, gRPC: front h2 over Triton": 5.0, echo: pytest.approx(0.6)}


def test_triton_with_a_backend_in_c_is_told_but_decides_no_bar() -> None:
    rows = [
        row("gantline, 1 worker", "gantline", 300),
        row("T, batching", "triton", 100),
        row("T, our C++ backend", "triton-cpp", 400),
    ]
    bar, told = verdicts(rows)
    assert (bar.theirs, bar.got, bar.wanted, bar.met) == ("T, batching", 3.0, 2.5, True)
    assert (told.theirs, told.got, told.wanted, told.met) == ("T, our C++ backend", 0.75, None, None)


def test_a_batch_is_set_against_a_loop_of_the_same_batch() -> None:
    rows = [
        row("gantline, 1 worker", "gantline", 950, connections=64, of="c"),
        row("gantline, max_batch_size 1", "unbatched", 100, connections=64, of="c"),
        row("loop, one row", "row-loop", 90, connections=0, wire="none", of="c"),
        row("gantline, 2 workers", "gantline", 1200, connections=64, of="c"),
        row("loop, the batch that 1 worker reached", "loop", 1000, connections=0, wire="none", of="c"),
        row("loop, the batch that 2 workers reached", "loop", 800, connections=0, wire="none", of="c"),
        row("gantline, 2 instances", "gantline", 1300, connections=64, of="c"),
        row("loop, the batch that 2 instances reached", "loop", 1000, connections=0, wire="none", of="c"),
    ]
    assert [(v.theirs, v.got) for v in verdicts(rows)] == [
        ("gantline, max_batch_size 1", 9.5),
        ("loop, the batch that 1 worker reached", 0.95),
        ("loop, the batch that 2 workers reached", 1.5),
        ("loop, the batch that 2 instances reached", 1.3),
    ]


def test_nothing_to_compare() -> None:
    assert verdicts([]) == []
    assert verdicts([row("gantline, 1 worker", "gantline", 5)]) == []
