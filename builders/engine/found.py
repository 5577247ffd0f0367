"""Found: endpoints by this user's records, and those that only an engine knows: another user's, or another home's."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from gantline.errors import GantlineError, NotFound

from .container import endpoints, shown
from .container_place import KIND
from .endpoint import Endpoint
from .engine import Engine, find, needed
from .record import Deployed, Record, Records


def everything(engine_url: str = "", say: Callable[[str], None] = lambda line: None) -> list[Record]:
    """All, by name. A URL that does not answer is an error; `say` is told of an engine that may be there."""
    found = Records.of_user().all(say)
    engine: Engine | None = None
    try:
        engine = find(engine_url)
    except GantlineError as e:
        if engine_url:
            raise
        say(e.message)
    if engine is not None:
        known = {record.name: record for record in found}
        try:
            for one in endpoints(engine):
                if not _is(known.get(one.name), one, engine.url):
                    found.append(_of_labels(one, engine.url))
        finally:
            engine.close()
    return sorted(found, key=lambda record: (record.name, record.where))


def record_of(name: str, engine_url: str = "") -> Record:
    """By this user's record; of an engine that is named, the one that is there. NotFound says which there are."""
    known = Records.of_user().find(name)
    if known is not None and (not engine_url or (known.place == KIND and _one_url(known.where, engine_url))):
        return known
    engine = needed(engine_url) if engine_url else find()
    if engine is None:
        return Records.of_user().get(name)
    try:
        with suppress(NotFound):
            one = shown(engine, name)
            if known is not None and _is(known, one, engine.url):
                return replace(known, where=engine.url)  # another way to the same engine
            return _of_labels(one, engine.url)
    finally:
        engine.close()
    if known is not None:
        raise NotFound(
            f"endpoint {name}: not in engine {engine.url}, but elsewhere ({known.place} {known.where}".rstrip()
            + "); leave out --engine-url"
        )
    there = ", ".join(one.name for one in everything(engine_url)) or "none"
    raise NotFound(f"endpoint {name!r:.100}: neither known here nor in engine {engine.url}; there is {there}")


def _is(known: Record | None, one: Endpoint, url: str) -> bool:
    """Whether what an engine has is what is on record."""
    return (
        known is not None
        and known.place == KIND
        and (_one_url(known.where, url) or known.details.get("container") == one.container)
    )


def _one_url(one: str, other: str) -> bool:
    """Whether two URLs are one, by their text or, of sockets, by where links lead."""
    return one == other or (
        one.startswith("unix://")
        and other.startswith("unix://")
        and os.path.realpath(one.removeprefix("unix://")) == os.path.realpath(other.removeprefix("unix://"))
    )


def _of_labels(one: Endpoint, url: str) -> Record:
    deployed = Deployed("main", one.image, one.image_id, one.package)
    return Record(one.name, KIND, url, one.model, (deployed,), one.url, one.grpc, "", one.created)
