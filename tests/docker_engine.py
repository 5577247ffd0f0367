"""Docker's own engine for tests, of Debian's packages: unpacked, not installed, and started as long as it is used."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gantline.file_lock import only_one

_PACKAGES = ("docker.io", "containerd")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gantline-tests" / "docker"


@contextmanager
def docker_engine(folder: Path) -> Iterator[str]:
    """The URL of one whose images are forgotten with the block. Skips where there is none.

    Containers are on the host's network: no bridge is made, and no rule of a firewall is changed.
    """
    if os.geteuid() != 0 or not shutil.which("runc"):
        pytest.skip("the engine of these tests runs as root: apt-get install runc")
    programs = _unpacked()
    # sockets have short paths
    short = Path(tempfile.mkdtemp(prefix="docker-"))
    # a containerd of its own: left to itself, the engine would take the machine's, or the socket that a dead one left
    containerd = [
        str(programs / "bin" / "containerd"), "--config", str(short / "containerd.toml"), "--address",
        str(short / "containerd"), "--root", str(folder / "containerd"), "--state", str(short / "state"),
    ]  # fmt: skip
    (short / "containerd.toml").write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    command = [
        str(programs / "sbin" / "dockerd"), "--host", f"unix://{short}/sock", "--data-root", str(folder / "data"),
        "--exec-root", str(short / "run"), "--pidfile", str(short / "pid"), "--iptables=false", "--ip6tables=false",
        "--bridge=none", "--containerd", str(short / "containerd"),
    ]  # fmt: skip
    try:
        with (
            _running(containerd, programs, folder / "containerd.log", "containerd successfully booted"),
            _running(command, programs, folder / "dockerd.log", "API listen on"),
        ):
            yield f"unix://{short}/sock"
    finally:
        for left in (short, folder / "data", folder / "containerd"):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _running(command: list[str], programs: Path, log: Path, ready: str) -> Iterator[None]:
    """As long as the block: a program that has said `ready` in its log."""
    own = os.environ | {"PATH": f"{programs / 'bin'}:{programs / 'sbin'}:{os.environ['PATH']}"}
    with log.open("w") as out, subprocess.Popen(command, env=own, stdout=out, stderr=out) as process:
        try:
            end = time.monotonic() + 60
            while ready not in log.read_text():
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(60)


def _unpacked() -> Path:
    """`usr` of the packages, fetched once; skips where that is not Debian, or out of reach."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("Docker's engine is taken from Debian's packages, which are not to be had here")
    _CACHE.parent.mkdir(parents=True, exist_ok=True)
    with only_one(_CACHE.with_suffix(".lock")):
        if not _CACHE.is_dir():
            with tempfile.TemporaryDirectory(dir=_CACHE.parent) as made:
                done = subprocess.run(
                    ["apt-get", "download", "-qq", *_PACKAGES], cwd=made, capture_output=True, text=True, check=False
                )
                found = sorted(Path(made).glob("*.deb"))
                if done.returncode or len(found) != len(_PACKAGES):
                    pytest.skip(f"Debian's packages of Docker are out of reach: {done.stderr.strip()[:200]}")
                for package in found:
                    subprocess.run(["dpkg-deb", "-x", package, f"{made}/root"], check=True)
                os.rename(f"{made}/root", _CACHE)
    return _CACHE / "usr"
