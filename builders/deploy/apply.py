"""Apply: make a described endpoint run here, whatever runs under its name now; again and again to the same end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from gantline.builders.engine import start
from gantline.builders.engine.container_place import ContainerPlace
from gantline.builders.engine.key_folder import KeyFolder
from gantline.builders.engine.place import Change
from gantline.builders.engine.process_place import ProcessPlace
from gantline.builders.engine.record import Record, Records
from gantline.builders.engine.subject import Subject, once_more
from gantline.builders.engine.wish import Wish, free_port

from gantline.errors import GantlineError, UsageError
from gantline.oci.platforms import Platform

from . import here
from .description import Endpoint
from .here import DOCKER, Plan

# a keys file -> what fills an endpoint's own folder with it
Fill: TypeAlias = Callable[[KeyFolder], str] | None
Keys = Callable[[Path], Fill]
_AGAIN_S = 60.0  # for one that was ready before


@dataclass(frozen=True, slots=True)
class Order:
    """What `gantline deploy` was told beside the endpoint. `secrets`: the folder that references mean files of."""

    target: str
    bring: Callable[[str, Platform], Subject]
    keys: Keys
    secrets: Path
    engine_url: str
    wait_s: float
    say: Callable[[str], None]


@contextmanager
def _place(order: Order) -> Iterator[ContainerPlace | ProcessPlace]:
    place = ContainerPlace(order.engine_url) if order.target == DOCKER else ProcessPlace()
    try:
        yield place
    finally:
        place.close()


def apply(endpoint: Endpoint, order: Order, dry_run: bool) -> tuple[Plan, Record | None]:
    """What was to be done, and the endpoint as it is then; with `dry_run` it is not done, and is as it was.

    UsageError for a name that another kind of place has. After an error what ran before runs still, or with a plan to
    `replace` it again. Errors as of `gantline run`.
    """
    one = here.only(endpoint, order.target)
    wanted = here.wish(endpoint, order.target, order.secrets)
    file = here.keys_file(one, order.secrets)
    with _place(order) as place:
        platform = place.engine.platform if isinstance(place, ContainerPlace) else Platform.of_this_machine()
        before = _before(endpoint.name, place, order.target)
        what = order.bring(one.image.name, platform)
        running = before is not None and place.status(before).state in ("running", "starting")
        plan = here.plan(before, running, wanted, what.image.id, file)
        if dry_run:
            return plan, before
        if plan.act == "unchanged":
            _read_again(endpoint.name, file, order)
            return plan, before
        if plan.act == "update":
            assert before is not None
            changes = here.variables_changed(before, wanted)
            return plan, start.update(
                endpoint.name, Change(one.image.name, lambda ref, on: what, changes, order.wait_s, order.say)
            )
        keys = order.keys(file) if file is not None else None
        if before is not None and running:
            return plan, _replace(place, before, what, wanted, order, keys)
        if before is not None:
            start.delete(before)
        return plan, start.start(place, what, wanted, order.wait_s, order.say, keys)


def _replace(
    place: ContainerPlace | ProcessPlace, before: Record, what: Subject, wanted: Wish, order: Order, keys: Fill
) -> Record:
    """The one before gives way first; if the new one does not become ready, it is started again."""
    old = Wish.from_json(before.details["wish"])
    manifest, image = before.details.get("manifest"), before.deployments[0].image
    if isinstance(place, ProcessPlace):
        for port in {wanted.port, wanted.grpc_port} - {old.port, old.grpc_port}:
            free_port(wanted.host, port)  # better now than when nothing runs any more
    start.delete(before)
    try:
        return start.start(place, what, wanted, order.wait_s, order.say, keys)
    except GantlineError as error:
        try:
            subject = once_more(manifest, image, what.store)
            own = order.keys(Path(before.keys)) if before.keys else None
            start.start(place, subject, replace(old, keys=""), max(order.wait_s, _AGAIN_S), order.say, own)
            error.message += "; the one before serves again"
        except GantlineError as again:
            error.message += f"; and the one before did not start again: {again.message}"
        error.args = (error.message,)
        raise


def _before(name: str, place: ContainerPlace | ProcessPlace, target: str) -> Record | None:
    before = Records.of_user().find(name)
    if before is None:
        return None
    kind = "engine" if target == DOCKER else "process"
    there = place.where if isinstance(place, ContainerPlace) and place.where else before.where
    if before.place != kind or before.where != there:
        raise UsageError(
            f"endpoint {name}: runs elsewhere ({before.place} {before.where}".rstrip()
            + f"); `gantline endpoint delete {name}`, or give this one another name"
        )
    return before


def _read_again(name: str, file: Path | None, order: Order) -> None:
    """Keys that were rotated in their file since: the server reads a copy, and sees when that changes."""
    if file is not None and (fill := order.keys(file)) is not None:
        fill(KeyFolder(Records.of_user().folder(name)))
