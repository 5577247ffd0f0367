"""A container engine for tests: podman with runc, answering Docker's API on a socket of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# as root, without systemd: plain cgroups, limits that may be set, and unless another is asked for the host's network
# (no bridge to be made)
_SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "{network}"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@contextmanager
def container_engine(folder: Path, network: str = "host") -> Iterator[Any]:
    """A client of the docker SDK, of an engine whose images are forgotten with the block. Skips where there is none.

    `folder/bin/podman` is that engine's command line.
    """
    if not (shutil.which("podman") and shutil.which("runc")):
        pytest.skip("needs a container engine: apt-get install podman runc")
    if os.geteuid() != 0:
        pytest.skip("the engine of these tests runs as root")
    import docker

    (folder / "containers.conf").write_text(_SETTINGS.format(network=network))
    socket = folder / "engine.sock"
    own = os.environ | {"CONTAINERS_CONF": str(folder / "containers.conf")}
    # all of its state apart from other engines that run; sockets have short paths
    short = tempfile.mkdtemp(prefix="engine-")
    roots = ["--root", str(folder / "storage"), "--runroot", f"{short}/run", "--tmpdir", f"{short}/tmp"]
    command = ["podman", *roots, "system", "service", "--time", "0", f"unix://{socket}"]
    shim = folder / "bin" / "podman"
    shim.parent.mkdir()
    line = " ".join((f"CONTAINERS_CONF={own['CONTAINERS_CONF']}", str(shutil.which("podman")), *roots))
    shim.write_text(f'#!/bin/sh\nexec env {line} "$@"\n')
    shim.chmod(0o755)
    log = folder / "engine.log"
    with log.open("w") as out, subprocess.Popen(command, env=own, stdout=out, stderr=out) as process:
        client = None
        try:
            client = _answering(docker, socket, process, log)
            yield client
        finally:
            if client is not None:
                client.close()
            process.terminate()
            process.wait(30)
            for words in (["rm", "--all", "--force"], ["system", "reset", "--force"]):
                subprocess.run(["podman", *roots, *words], env=own, capture_output=True, check=False)
            # podman leaves it mounted on itself, once for each of its commands, and a later run could not remove it
            overlay = folder / "storage" / "overlay"
            while subprocess.run(["umount", "--lazy", overlay], capture_output=True, check=False).returncode == 0:
                pass
            shutil.rmtree(short, ignore_errors=True)


def _answering(docker: Any, socket: Path, process: subprocess.Popen[bytes], log: Path) -> Any:
    end = time.monotonic() + 60
    while not socket.exists():
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    client = docker.DockerClient(base_url=f"unix://{socket}", version="1.40", timeout=120)
    assert client.ping()
    return client
