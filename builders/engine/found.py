"""Found: endpoints by this user's records, and those that only an engine knows: another user's, or another home's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gantline.errors import GantlineError, NotFound

from .container import endpoints, shown
from .container_place import KIND
from .endpoint import Endpoint
from .engine import Engine, find, needed
from .record import Deployed, Record, Records


def everything(engine_url: str = "", say: Callable[[str], None] = lambda line: None) -> list[Record]:
    """All, by name. A URL that does not answer is an error; `say` is told of an engine that may be there."""
    records = {record.name: record for record in Records.of_user().all(say)}
    engine: Engine | None = None
    try:
        engine = find(engine_url)
    except GantlineError as e:
        if engine_url:
            raise
        say(e.message)
    if engine is not None:
        try:
            for one in endpoints(engine):
                records.setdefault(one.name, _of_labels(one, engine.url))
        finally:
            engine.close()
    return [records[name] for name in sorted(records)]


def record_of(name: str, engine_url: str = "") -> Record:
    """NotFound says which there are."""
    if (found := Records.of_user().find(name)) is not None:
        return found
    engine = needed(engine_url) if engine_url else find()
    if engine is None:
        return Records.of_user().get(name)
    try:
        with suppress(NotFound):
            return _of_labels(shown(engine, name), engine.url)
    finally:
        engine.close()
    there = ", ".join(one.name for one in everything(engine_url)) or "none"
    raise NotFound(f"endpoint {name!r:.100}: neither known here nor in engine {engine.url}; there is {there}")


def _of_labels(one: Endpoint, url: str) -> Record:
    deployed = Deployed("main", one.image, one.image_id, one.package)
    return Record(one.name, KIND, url, one.model, (deployed,), one.url, one.grpc, "", one.created)
