"""Leases: who uses a store says since when, for as long as it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gantline.oci.lease import in_use, lease, since
from gantline.oci.store import Store

_HOLDER = """
import sys, time
from pathlib import Path
from gantline.oci.lease import lease
from gantline.oci.store import Store
held = lease(Store(Path(sys.argv[1])))
print("holds", flush=True)
time.sleep(60)
"""


def left(store: Store) -> list[str]:
    return [path.name for path in (store.root / "leases").iterdir()]


def test_since_the_oldest_of_those_who_live(store: Store) -> None:
    assert since(store) == pytest.approx(time.time(), abs=5)
    with in_use(store) as same:
        assert same is store
        (mine,) = left(store)
        os.utime(store.root / "leases" / mine, (1000, 1000))
        with in_use(store):
            assert since(store) == 1000
        assert len(left(store)) == 1
    assert left(store) == [] and since(store) == pytest.approx(time.time(), abs=5)


def test_a_server_moves_its_beginning(store: Store) -> None:
    held = lease(store)
    held.began(5000.0)
    assert since(store) == 5000
    held.end()
    held.end()  # once is enough, and twice no harm


def test_the_dead_hold_nothing(store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER, store.root], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "holds\n"
        (mine,) = left(store)
        os.utime(store.root / "leases" / mine, (1000, 1000))
        assert since(store) == 1000
        process.send_signal(signal.SIGKILL)
    assert since(store) == pytest.approx(time.time(), abs=5) and left(store) == []


def test_where_none_can_be_made(tmp_path: Path) -> None:
    with in_use(Store(tmp_path / "nowhere")) as store:
        assert since(store) == pytest.approx(time.time(), abs=5)
    held = lease(store)
    held.began(1.0)
    held.end()
