"""Gathering, simulated: clients that wait for their answers are brought together where that pays, and nobody else."""

from __future__ import annotations

import pytest
from gantline.serve.gathering import ALONE, TOGETHER
from gantline.serve.pace import Greedy
from gantline.serve.slo import Slo

from .engine_simulation import MS, SECOND, Run, closed_loop, open_loop, steps


def flat(rows: int) -> float:
    return (2 + 0.02 * rows) * MS


def proportional(rows: int) -> float:
    return (0.2 + 0.5 * rows) * MS


def after(run: Run, seconds: float) -> float:
    """Answers a second from then on."""
    return sum(t >= seconds * SECOND for t in run.answered) / (run.answered[-1] / SECOND - seconds)


@pytest.mark.parametrize("clients", [4, 16, 32])
def test_clients_in_two_groups_are_joined(clients: int) -> None:
    slo = Slo(12 * MS)
    greedy = closed_loop(Greedy(), lambda _: clients, flat, 64, 10)
    ours = closed_loop(slo, lambda _: clients, flat, 64, 10)
    assert after(ours, 5) > 1.25 * after(greedy, 5)
    assert ours.windows(12 * MS, 9) == 1


def test_nothing_waits_where_a_larger_batch_is_no_cheaper() -> None:
    ours = closed_loop(Slo(100 * MS), lambda _: 16, proportional, 64, 10)
    assert ours.waited == 0


def test_nothing_waits_for_a_client_alone() -> None:
    ours = closed_loop(Slo(12 * MS), lambda _: 1, flat, 64, 5)
    assert ours.waited == 0


def test_requests_that_come_by_themselves_wait_in_trials_only() -> None:
    slo = Slo(12 * MS)
    ours = open_loop(slo, steps([9000, 3000, 12000, 500], 10, 5), lambda _, rows: flat(rows), 64)
    assert ours.waited < 0.05 * len(ours.sizes)
    assert slo.describe()["gathering"]["state"] == ALONE
    assert ours.windows(12 * MS, 40) == 1


def test_when_the_clients_leave_waiting_ends() -> None:
    slo = Slo(12 * MS)

    def clients(now: int) -> int:
        return 32 if now < 5 * SECOND else 1

    ours = closed_loop(slo, clients, flat, 64, 8)
    lone = [a - b for a, b in zip(ours.answered, ours.arrived, strict=True) if b > 5.2 * SECOND]
    assert len(lone) > 500
    assert sorted(lone)[int(0.99 * len(lone))] < 2.5 * MS  # its run and nothing else


def test_a_target_without_room_for_a_wait_forbids_it() -> None:
    slo = Slo(3 * MS)  # a run takes 2.6 ms
    closed_loop(slo, lambda _: 32, flat, 64, 5)
    assert slo.describe()["gathering"]["state"] == ALONE


def test_joined_clients_are_checked_from_time_to_time() -> None:
    slo = Slo(12 * MS)
    closed_loop(slo, lambda _: 32, flat, 64, 12)
    told = slo.describe()["gathering"]
    assert told["state"] == TOGETHER
    assert told["rows_s_together"] > 1.25 * told["rows_s"] > 0
