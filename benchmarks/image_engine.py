"""Where images run and where they are kept: podman with a storage of its own, and Debian's docker-registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from measuring import JSON, ROOT, Process, free_port, output_of

WAIT_S = 180
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def absent(*others: str) -> str:
    """Why there is no engine here, or not those programs beside it; nothing if there are."""
    if missing := [name for name in ("podman", "runc", *others) if not shutil.which(name)]:
        return f"{', '.join(missing)}: not installed"
    return "" if os.geteuid() == 0 else "podman is set up here for root alone"


class Engine(AbstractContextManager["Engine"]):
    """podman as root; its images go with the block."""

    def __init__(self, folder: Path) -> None:
        self.storage = folder / "storage"
        self.own = os.environ | {"CONTAINERS_CONF": str(ROOT / "benchmarks" / "containers.conf")}
        # all of its state apart from other engines that run; sockets have short paths
        self.short = tempfile.mkdtemp(prefix="engine-")
        self.command = ["podman", "--root", str(self.storage)]
        self.command += ["--runroot", f"{self.short}/run", "--tmpdir", f"{self.short}/tmp"]

    def __exit__(self, *_: object) -> None:
        for words in (["rm", "--all", "--force"], ["system", "reset", "--force"]):
            subprocess.run([*self.command, *words], env=self.own, capture_output=True, check=False)
        # podman leaves it mounted on itself, and it could not be removed
        subprocess.run(["umount", "--lazy", self.storage / "overlay"], capture_output=True, check=False)
        shutil.rmtree(self.short, ignore_errors=True)

    def call(self, *words: str | Path) -> str:
        """What it prints. RuntimeError as of `output_of`."""
        return output_of([*self.command, *words], self.own, f"podman {words[0]}").strip()

    def upon(self, image: str, base: str) -> dict[str, float]:
        """What lies above the base: unpacked MB, files and layers."""
        folders = [f for f in self._folders(image) if f not in self._folders(base)]
        sizes = [
            path.lstat().st_size
            for folder in folders
            for at, _, names in os.walk(folder)
            for path in (Path(at, name) for name in names)
            if path.is_file() and not path.is_symlink()
        ]
        return {"unpacked MB": sum(sizes) / 1e6, "files": len(sizes), "layers": len(folders)}

    def _folders(self, image: str) -> list[str]:
        held = json.loads(self.call("image", "inspect", image, "--format", "{{json .GraphDriver.Data}}"))
        return [held["UpperDir"], *filter(None, held.get("LowerDir", "").split(":"))]

    @contextmanager
    def running(self, *words: str) -> Iterator[str]:
        """The name of a container that is forgotten after the block."""
        name = f"measured-{os.getpid()}"
        self.call("run", "--detach", "--name", name, *words)
        try:
            yield name
        finally:
            self.call("rm", "--force", "--time", "2", name)

    @contextmanager
    def answering(
        self, words: Sequence[str], image: str, url: str, body: bytes, right: Sequence[float]
    ) -> Iterator[tuple[str, float]]:
        """A container, and the seconds from `run` to its first answer. RuntimeError if it is wrong, or never comes."""
        began = time.perf_counter()
        with self.running(*words, image) as container:
            try:
                first_right(url, body, right)
            except SystemExit as e:
                raise RuntimeError(f"{e}; it said: {self.said(container)}") from e
            yield container, time.perf_counter() - began

    def said(self, name: str) -> str:
        """The end of what a container wrote."""
        done = subprocess.run(
            [*self.command, "logs", "--tail", "5", name], env=self.own, check=False, capture_output=True, text=True
        )
        return " | ".join((done.stdout + done.stderr).split("\n"))[-500:]

    def alone(self, image: str, python: str, code: str) -> float:
        """Seconds from `run` until a container's Python has done this and nothing else."""
        with socket.create_server(("127.0.0.1", 0)) as heard:
            heard.settimeout(WAIT_S)
            told = f"{code}\nimport _socket\n_socket.socket().connect({heard.getsockname()!r})"
            began = time.perf_counter()
            with self.running("--entrypoint", python, image, "-c", told) as name:
                try:
                    heard.accept()[0].close()
                except TimeoutError as e:
                    raise RuntimeError(f"{image}: nothing heard of it within {WAIT_S} s: {self.said(name)}") from e
                return time.perf_counter() - began

    def resident_mb(self, name: str) -> float:
        """Memory of all processes of a container, pages that several share counted once."""
        total = 0
        for pid in self.call("top", name, "hpid").split()[1:]:
            total += int(re.findall(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[0])
        return total / 1024


class Site(AbstractContextManager["Site"]):
    """A docker-registry that counts what it has been sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"127.0.0.1:{free_port()}"
        lines = ["version: 0.1", "log: {level: error}"]
        lines += [f"storage: {{filesystem: {{rootdirectory: {folder}}}}}", f"http: {{addr: '{self.host}'}}"]
        folder.mkdir()
        (folder / "settings.yml").write_text("\n".join(lines) + "\n")
        self._process = Process(["docker-registry", "serve", folder / "settings.yml"])

    def __enter__(self) -> Site:
        self._process.__enter__()
        self._process.answers(f"http://{self.host}/v2/")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def held(self) -> int:
        """Bytes of all blobs: manifests, configs and layers, as they came."""
        return sum(path.stat().st_size for path in self.folder.glob("docker/registry/v2/blobs/sha256/*/*/data"))

    def layers(self, name: str, tag: str) -> list[tuple[str, int]]:
        """Digest and bytes of an image's layers, as they are pulled."""
        asked = urllib.request.Request(f"http://{self.host}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFESTS})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            tree: dict[str, Any] = json.load(answer)
        return [(layer["digest"], int(layer["size"])) for layer in tree["layers"]]


def first_right(url: str, body: bytes, right: Sequence[float]) -> None:
    """Ask until the answer is right. SystemExit if it is wrong, or none comes in time."""
    end, asked = time.monotonic() + WAIT_S, urllib.request.Request(url, body, dict(JSON))
    last = ""
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                found = numbers(json.load(answer))
        except (urllib.error.URLError, ConnectionError) as e:
            last = str(e)
            if isinstance(e, urllib.error.HTTPError):
                last += e.read(500).decode(errors="replace")
                e.close()  # it holds the connection
            time.sleep(0.005)
            continue
        if len(found) != len(right) or not all(abs(a - b) <= 1e-5 for a, b in zip(found, right, strict=True)):
            raise SystemExit(f"{url} answers {found[:5]}..., expected {list(right[:5])}...")
        return
    raise SystemExit(f"{url}: no answer within {WAIT_S} s: {last}")


def numbers(answer: Any) -> list[float]:
    """The numbers of an answer, whoever gives it."""
    if isinstance(answer, Mapping):
        if "outputs" in answer:
            return numbers(answer["outputs"][0]["data"])
        return [n for part in answer.values() for n in numbers(part)]
    return [n for part in answer for n in numbers(part)] if isinstance(answer, list) else [float(answer)]
