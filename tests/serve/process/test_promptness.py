"""Promptness: what the kernel says of a thread that asked, and of one that it started."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest
from gantline.serve.process import promptness
from gantline.serve.process.promptness import SLICE_NS, be_prompt

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in promptness._SETATTR, reason="Linux's alone"
)


class Attributes(NamedTuple):
    """What sched_getattr(2) tells of the calling thread."""

    policy: int
    nice: int
    slice_ns: int


def attributes() -> Attributes:
    answer = ctypes.create_string_buffer(48)
    number = promptness._SETATTR[platform.machine()] + 1
    assert ctypes.CDLL(None).syscall(number, 0, answer, 48, 0) == 0
    _, policy, _, nice, _, runtime, _, _ = struct.unpack("=IIQiIQQQ", answer.raw)
    return Attributes(policy, nice, runtime)


def on_a_thread(work: Callable[[], None]) -> None:
    """So that the tests' own thread stays as it is."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def knows_slices() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 12)


def test_the_thread_has_short_slices_and_those_it_starts_do_not() -> None:
    def work() -> None:
        before = attributes()
        if not be_prompt():
            pytest.skip("it may not be asked for here")
        after = attributes()
        assert after[:2] == before[:2]
        later: list[Attributes] = []
        thread = threading.Thread(target=lambda: later.append(attributes()))
        thread.start()
        thread.join()
        if knows_slices():
            assert after.slice_ns == SLICE_NS < later[0].slice_ns == before.slice_ns

    on_a_thread(work)


def test_who_was_made_nice_stays_so() -> None:
    def work() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), attributes().nice + 1)
        nice = attributes().nice
        be_prompt()
        assert attributes().nice == nice

    on_a_thread(work)


def test_a_policy_that_somebody_chose_is_kept() -> None:
    def work() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        before = attributes()
        assert not be_prompt() and attributes() == before

    on_a_thread(work)


def test_other_machines_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    assert not be_prompt()
