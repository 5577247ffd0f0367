"""Engine: a Docker-compatible container engine by the docker SDK: where it answers, its images, loading them."""

from __future__ import annotations

import os
import re
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from gantline.errors import Denied, NotFound, Unavailable, Unreachable, UsageError
from gantline.home import of_user
from gantline.oci.archive import fill
from gantline.oci.image import Image
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

HOST = "DOCKER_HOST"
_TIMEOUT_S = 120.0
_PIECE = 1 << 20
_WAYS_OUT = "start Docker, or `podman system service --time 0 &`, or name another by --engine-url or DOCKER_HOST"


def places(
    variables: Mapping[str, str], home: Path | None, runtime: Path | None, system: str = sys.platform
) -> list[str]:
    """URLs at which an engine may answer, the likeliest first: what DOCKER_HOST says alone, else the usual sockets."""
    if variables.get(HOST):
        return [variables[HOST]]
    if system == "win32":
        return [f"npipe:////./pipe/{name}" for name in ("docker_engine", "podman-machine-default")]
    folders = [Path("/var/run/docker.sock")]
    if home is not None:
        folders.append(home / ".docker" / "run" / "docker.sock")
    if runtime is not None:
        folders += [runtime / "docker.sock", runtime / "podman" / "podman.sock"]
    return [f"unix://{path}" for path in (*folders, Path("/run/podman/podman.sock"))]


def find(url: str = "") -> Engine | None:
    """The engine at a URL, or the first that answers; None where nothing is said and nothing answers.

    Unreachable or Denied for one that was named, and for a socket that is there and may not be used.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    wanted = [url] if url else places(os.environ, of_user(), Path(runtime) if runtime else None)
    named = bool(url or os.environ.get(HOST))
    for place in wanted:
        # False where one may not look; whether there is a pipe only an attempt tells
        if named or not place.startswith("unix://") or os.path.exists(place.removeprefix("unix://")):
            try:
                return Engine.at(place)
            except Unreachable:
                if named:
                    raise
    return None


def needed(url: str = "") -> Engine:
    """As `find`; Unreachable where there is none."""
    found = find(url)
    if found is None:
        raise Unreachable(f"no container engine answers; {_WAYS_OUT}")
    return found


@dataclass(frozen=True, slots=True)
class Engine:
    """One that answered. `client` is docker's; whatever it raises is said in one line within `spoken`."""

    url: str
    client: Any

    @classmethod
    def at(cls, url: str) -> Engine:
        """UsageError for what is no such URL, Denied, Unreachable."""
        if not re.match(r"(unix|tcp|http|https|ssh|npipe)://.", url):
            raise UsageError(f"engine {url!r:.200}: expected unix:///run/podman/podman.sock or tcp://HOST:2375, say")
        if url.startswith("unix://"):
            _check_socket(url)
        import docker
        import docker.errors

        try:
            tls = url.startswith(("tcp://", "https://")) and bool(os.environ.get("DOCKER_TLS_VERIFY"))
            given = docker.from_env if tls and url == os.environ.get(HOST) else None
            client = given(timeout=_TIMEOUT_S) if given else docker.DockerClient(base_url=url, timeout=_TIMEOUT_S)
        except (docker.errors.DockerException, OSError) as e:
            raise Unreachable(f"engine {url}: {_cause(e)}; {_WAYS_OUT}") from e
        return cls(url, client)

    def close(self) -> None:
        """Leave it."""
        self.client.close()

    @property
    def away(self) -> str:
        """The host that it is on, if that is another than this."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return "" if parts.scheme in ("unix", "npipe") or host in ("localhost", "127.0.0.1", "::1") else host

    @property
    def platform(self) -> Platform:
        """What its images are for."""
        with self.spoken():
            told = self.client.version()
        return Platform.parse(f"{told.get('Os') or 'linux'}/{told.get('Arch') or 'amd64'}")

    def has(self, image: Image) -> str:
        """The engine's own ID of an image, if it has it. Docker's containerd store calls it by its manifest."""
        import docker.errors

        for digest in (image.id, image.descriptor.digest):
            with suppress(docker.errors.ImageNotFound), self.spoken():
                return str(self.client.images.get(digest).id)
        return ""

    def load(self, store: Store, image: Image, name: str) -> tuple[str, bool]:
        """The engine's ID of an image that is brought there if need be, and called `name`; whether it was there."""
        if there := self.has(image):
            self._call(there, name)
            return there, True
        with self.spoken(), _streamed(store, image, name) as stream:
            loaded = self.client.images.load(stream)
        found = self.has(image) or (str(loaded[0].id) if len(loaded) == 1 else "")
        if not found:
            raise Unavailable(f"engine {self.url}: took {name} and has no image {image.id} now; see its log")
        return found, False

    def _call(self, image: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        with self.spoken():
            self.client.api.tag(image, repository, tag)

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Errors of the SDK, and of the connection below it, as ours."""
        import docker.errors
        import requests

        try:
            yield
        except docker.errors.ImageNotFound:
            raise
        except docker.errors.NotFound as e:
            raise NotFound(f"engine {self.url}: {_cause(e)}") from e
        except docker.errors.APIError as e:
            kind = {401: Denied, 403: Denied, 400: UsageError, 409: UsageError}.get(e.status_code or 0, Unavailable)
            raise kind(f"engine {self.url}: {_cause(e)}") from e
        except (docker.errors.DockerException, requests.RequestException) as e:
            raise Unreachable(f"engine {self.url}: {_cause(e)}; {_WAYS_OUT}") from e


def _check_socket(url: str) -> None:
    path = Path(url.removeprefix("unix://"))
    if not path.exists():
        raise Unreachable(f"engine {url}: there is no such socket; {_WAYS_OUT}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise Denied(
            f"engine {url}: this user may not use it; be of its group (`sudo usermod -aG docker $USER`, then log in "
            "again), run podman as yourself, or go without an engine: --no-engine"
        )


def _cause(error: BaseException) -> str:
    """The innermost reason, in one line."""
    explanation = getattr(error, "explanation", None)
    if explanation:
        taken = re.search(r"address already in use|port is already allocated", str(explanation))
        return " ".join(str(explanation).split()) + ("; choose another --port or --grpc-port" if taken else "")
    text = str(error)
    if inner := re.search(r"\[Errno \d+\] ([^'\")]+)|(Connection refused|timed out|Name or service not known)", text):
        return inner[1] or inner[2]
    return " ".join(text.split())[:300]


@contextmanager
def _streamed(store: Store, image: Image, name: str) -> Iterator[BinaryIO]:
    """The image's archive, written while it is read: nothing of its size in memory or on a disk."""
    into, out = os.pipe()
    failed: list[BaseException] = []

    def write() -> None:
        # whoever reads may leave early, and says why itself
        with suppress(BrokenPipeError), os.fdopen(out, "wb", _PIECE) as f:
            try:
                with tarfile.open(fileobj=f, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_PIECE) as tar:
                    fill(tar, store, image.descriptor, name)
            except BrokenPipeError:
                raise
            except BaseException as e:
                failed.append(e)

    thread = threading.Thread(target=write, name="archive", daemon=True)
    thread.start()
    try:
        with os.fdopen(into, "rb", _PIECE) as f:
            yield f
    finally:
        thread.join()
        if failed:
            raise failed[0]
