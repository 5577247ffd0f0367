"""Container: starting one and waiting for it, finding it again by its labels, its log, its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gantline.errors import NotFound, Unavailable, UsageError
from gantline.oci.image import Image

from . import anchor
from .awaiting import announced, ready, until
from .endpoint import ANCHOR, Endpoint, described
from .engine import Engine
from .wish import GRACE, NAME, RESTARTS, STARTED, Wish, settled, told

NEXT = ".next"  # at the end of the name of one that is to take another's place
_STOP_S = 30  # what it has accepted is finished
_TAIL = 200  # lines of a log that are read for a reason
_REMOVE_S = 15.0  # for an engine whose disk is still busy with it
_PAUSE_S = 0.3


def create(engine: Engine, image: Image, image_in_engine: str, name: str, wish: Wish, called: str = "") -> Any:
    """A container that does not run yet. `name`: what the image was asked for by; `called`: if not as the endpoint.

    UsageError for a name that is taken.
    """
    with engine.spoken():
        _refuse_taken(engine, called or wish.name)
        return engine.client.containers.create(image_in_engine, **told(wish, image, name, called))


def _check(engine: Engine, wish: Wish) -> None:
    """UsageError for an address or keys that an engine elsewhere cannot have."""
    if engine.away and wish.host in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(
            f"engine {engine.url}: on another host, whose {wish.host} is not here; "
            "pass --host 0.0.0.0 if all may ask it who reach that host"
        )
    if engine.away and wish.keys:
        raise UsageError(f"engine {engine.url}: on another host, which does not see a keys file of this one")


def start(engine: Engine, image: Image, image_in_engine: str, name: str, wish: Wish, wait_s: float) -> Endpoint:
    """Start a container and wait until it is ready. One that does not become ready is taken away again.

    Its published ports are an anchor's, so that another can take its place unnoticed; but for one that the engine is to
    start again with the machine: Docker starts such in any order, and it cannot start before its anchor. UsageError for
    what an engine elsewhere cannot have, and as for `create`; Unavailable, DeadlineExceeded.
    """
    _check(engine, wish)
    if wish.shared and not engine.away:
        wish = settled(wish)
    if wish.shared or not wish.offers or RESTARTS in wish.extra:
        return begin(engine, create(engine, image, image_in_engine, name, wish), wish, wait_s)
    with engine.spoken():
        _refuse_taken(engine, wish.name, wish.name + anchor.ENDING)
    held, port, grpc_port = anchor.begun(engine, image, image_in_engine, wish)
    try:
        wish = replace(wish, port=port, grpc_port=grpc_port, anchor=held.id)
        return begin(engine, create(engine, image, image_in_engine, name, wish), wish, wait_s)
    except BaseException:
        remove(engine, held)
        raise


def begin(engine: Engine, container: Any, wish: Wish, wait_s: float) -> Endpoint:
    """Start one that was created, and wait until it is ready; else it is taken away."""
    try:
        with engine.spoken():
            container.start()
            container.reload()
        found = described(container.attrs, engine.away)
        sign = (lambda: announced(log_of(engine, container))) if wish.joins else (lambda: ready(found.url))
        until(
            sign, wait_s, lambda: _ended(engine, container), lambda: log_of(engine, container),
            f"container {container.name}" + ("" if wish.joins else f", asked at {found.url or 'no address'}"),
        )  # fmt: skip
        return found
    except BaseException:
        remove(engine, container)
        raise


def _refuse_taken(engine: Engine, *names: str) -> None:
    for one in engine.client.containers.list(all=True, filters={"name": names[0]}, ignore_removed=True):
        if one.name in names:
            ours = one.labels.get(NAME)
            way = f"`gantline endpoint delete {ours}`" if ours else f"remove that container ({one.short_id})"
            raise UsageError(
                f"--name {names[0]}: the engine has a container {one.name}; {way}, or choose another --name"
            )


def _ended(engine: Engine, container: Any) -> bool:
    with engine.spoken():
        container.reload()
    return container.status in ("exited", "dead", "stopped")


def log_of(engine: Engine, container: Any) -> str:
    """The last of what it has logged."""
    with engine.spoken():
        return str(container.logs(tail=_TAIL).decode("utf-8", "replace"))


def endpoints(engine: Engine) -> list[Endpoint]:
    """All of them, by name; of one that is being replaced, the one that serves."""
    with engine.spoken():
        found = engine.client.containers.list(all=True, filters={"label": NAME}, ignore_removed=True)
    named: dict[str, list[Any]] = {}
    for one in found:
        named.setdefault(one.labels[NAME], []).append(one)
    return [_shown(sorted(named[name], key=_rank), engine.away) for name in sorted(named)]


def _rank(container: Any) -> tuple[bool, bool, bool]:
    """The least is the endpoint's own: it serves, runs, and is called as the endpoint."""
    return is_anchor(container), container.status != "running", container.name != container.labels[NAME]


def is_anchor(container: Any) -> bool:
    """Whether it only has ports, and serves nothing."""
    return described(container.attrs).network == ANCHOR


def all_of(engine: Engine, name: str, mark: str = "") -> list[Any]:
    """Every container of an endpoint, its own first, its anchor last; others are such as were to take its place.

    With a `mark` none that another's start has made, when that name was free.
    """
    with engine.spoken():
        found = engine.client.containers.list(all=True, filters={"label": f"{NAME}={name}"}, ignore_removed=True)
    return sorted((one for one in found if not mark or _mark(one) in ("", mark)), key=_rank)


def _mark(one: Any) -> str:
    try:
        return str(json.loads(one.labels[STARTED]).get("mark", ""))
    except (KeyError, ValueError, AttributeError):
        return ""


def container_of(engine: Engine, name: str, mark: str = "") -> Any:
    """The container of an endpoint; NotFound says which there are."""
    return _containers_of(engine, name, mark)[0]


def _containers_of(engine: Engine, name: str, mark: str) -> list[Any]:
    if found := all_of(engine, name, mark):
        return found
    there = ", ".join(e.name for e in endpoints(engine)) or "none"
    raise NotFound(f"endpoint {name!r:.200}: not in engine {engine.url}; there is {there}")


def shown(engine: Engine, name: str, mark: str = "") -> Endpoint:
    """One endpoint as it is now; NotFound says which there are."""
    return _shown(_containers_of(engine, name, mark), engine.away)


def _shown(found: list[Any], away: str) -> Endpoint:
    """One of several containers as an endpoint: without its server it is gone, without its anchor nobody reaches it."""
    own = described(found[0].attrs, away)
    if own.network == ANCHOR:
        return replace(own, state="gone", url="", grpc="")
    held = own.network != "anchored" or any(is_anchor(one) and one.status == "running" for one in found)
    return own if held or own.state != "running" else replace(own, state="cut off", url="", grpc="")


def logs(engine: Engine, name: str, tail: int | None, follow: bool, mark: str = "") -> Iterator[bytes]:
    """Its log, the last lines of it or all, and on request what comes while it runs."""
    container = container_of(engine, name, mark)
    with engine.spoken():
        found = container.logs(stream=True, follow=follow, tail=tail if tail is not None else "all")
        yield from found


def stop(engine: Engine, container: Any) -> None:
    """Let it finish what it accepted."""
    with engine.spoken():
        container.stop(timeout=int(container.labels.get(GRACE) or _STOP_S))


def remove(engine: Engine, container: Any) -> None:
    """Kill it if it runs, and take it away. An engine may say that its disk is busy: it is asked again for a while."""
    end = time.monotonic() + _REMOVE_S
    while True:
        try:
            with engine.spoken():
                container.remove(force=True, v=True)
            return
        except NotFound:
            return
        except (Unavailable, UsageError) as e:  # 500: device or resource busy; 409: it is being removed
            if time.monotonic() > end:
                raise Unavailable(f"{e.message}; `gantline endpoint delete` tries it again") from e
        time.sleep(_PAUSE_S)


def delete(engine: Engine, name: str, mark: str = "") -> None:
    """Stop all containers of an endpoint, with time to finish what they accepted, and remove them."""
    for container in all_of(engine, name, mark):
        try:
            stop(engine, container)
        except NotFound:
            continue
        remove(engine, container)
