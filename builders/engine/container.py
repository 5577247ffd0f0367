"""Container: starting one and waiting for it, finding it again by its labels, its log, its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from gantline.errors import NotFound, UsageError
from gantline.oci.image import Image

from .awaiting import until_ready
from .endpoint import Endpoint, described
from .engine import Engine
from .wish import NAME, Wish, settled, told

_STOP_S = 30  # what it has accepted is finished
_TAIL = 200  # lines of a log that are read for a reason


def start(engine: Engine, image: Image, image_in_engine: str, name: str, wish: Wish, wait_s: float) -> Endpoint:
    """Start a container and wait until it is ready. One that does not become ready is taken away again.

    `name`: what the image was asked for by. UsageError for a name that is taken, Unavailable, DeadlineExceeded.
    """
    if engine.away and wish.host in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(
            f"engine {engine.url}: on another host, whose {wish.host} is not here; "
            "pass --host 0.0.0.0 if all may ask it who reach that host"
        )
    with engine.spoken():
        _refuse_taken(engine, wish.name)
    if wish.shared and not engine.away:
        wish = settled(wish)
    with engine.spoken():
        container = engine.client.containers.create(image_in_engine, **told(wish, image, name))
    try:
        with engine.spoken():
            container.start()
            container.reload()
        found = described(container.attrs, engine.away)
        host, _, port = found.url.removeprefix("http://").rpartition(":")
        until_ready(
            host.strip("[]") or wish.host, int(port or 0), wait_s,
            lambda: _ended(engine, container), lambda: _log(engine, container), f"container {wish.name}",
        )  # fmt: skip
        return found
    except BaseException:
        with engine.spoken():
            container.remove(force=True, v=True)
        raise


def _refuse_taken(engine: Engine, name: str) -> None:
    for one in engine.client.containers.list(all=True, filters={"name": name}, ignore_removed=True):
        if one.name == name:
            way = (
                f"`gantline endpoint delete {name}`"
                if NAME in one.labels
                else f"remove that container ({one.short_id})"
            )
            raise UsageError(f"--name {name}: the engine has a container of that name; {way}, or choose another --name")


def _ended(engine: Engine, container: Any) -> bool:
    with engine.spoken():
        container.reload()
    return container.status in ("exited", "dead", "stopped")


def _log(engine: Engine, container: Any) -> str:
    with engine.spoken():
        return str(container.logs(tail=_TAIL).decode("utf-8", "replace"))


def endpoints(engine: Engine) -> list[Endpoint]:
    """All of them, by name."""
    with engine.spoken():
        found = engine.client.containers.list(all=True, filters={"label": NAME}, ignore_removed=True)
        return sorted((described(one.attrs, engine.away) for one in found), key=lambda e: e.name)


def container_of(engine: Engine, name: str) -> Any:
    """The container of an endpoint; NotFound says which there are."""
    with engine.spoken():
        found = engine.client.containers.list(all=True, filters={"label": f"{NAME}={name}"}, ignore_removed=True)
        if found:
            return found[0]
    there = ", ".join(e.name for e in endpoints(engine)) or "none"
    raise NotFound(f"endpoint {name!r:.200}: not in engine {engine.url}; there is {there}")


def shown(engine: Engine, name: str) -> Endpoint:
    """One endpoint as it is now."""
    return described(container_of(engine, name).attrs, engine.away)


def logs(engine: Engine, name: str, tail: int | None, follow: bool) -> Iterator[bytes]:
    """Its log, the last lines of it or all, and on request what comes while it runs."""
    container = container_of(engine, name)
    with engine.spoken():
        found = container.logs(stream=True, follow=follow, tail=tail if tail is not None else "all")
        yield from found


def delete(engine: Engine, name: str) -> None:
    """Stop it, with time to finish what it accepted, and remove its container."""
    container = container_of(engine, name)
    with engine.spoken():
        container.stop(timeout=_STOP_S)
        container.remove(force=True, v=True)


def follow(engine: Engine, name: str) -> int:
    """Wait until it ends; its exit code."""
    container = container_of(engine, name)
    while not _ended(engine, container):
        time.sleep(0.5)
    return int(container.attrs["State"].get("ExitCode") or 0)
