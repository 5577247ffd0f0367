"""`gantline diff`: what differs between two images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..exits import OK
from . import transfer
from .explain import REF, platform_argument, platform_of
from .show import print_json, size, table

if TYPE_CHECKING:
    from gantline.builders.evidence.difference import Change, Difference

_SHOWN = 10  # paths that differ, of each kind


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline diff`."""
    parser.add_argument("before", metavar="A", help=REF)
    parser.add_argument("after", metavar="B", help="another one")
    platform_argument(parser)
    transfer.connection(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Say it; two images that differ are no error."""
    from gantline.builders.evidence.difference import difference
    from gantline.builders.evidence.opened import open_image

    from ..oci.store import Store

    store = Store.of_user()
    wanted = platform_of(args), transfer.wiring(args)
    found = difference(store, open_image(args.before, store, *wanted), open_image(args.after, store, *wanted))
    if args.json:
        print_json(found.to_json())
    else:
        table(_rows(args, found))
    return OK


def _rows(args: argparse.Namespace, found: Difference) -> list[tuple[str, str]]:
    rows = [("from", f"{args.before}  {found.before.id}"), ("to", f"{args.after}  {found.after.id}")]
    if found.same:
        return [*rows, ("result", "one image")]
    layers = found.layers
    rows.append(("layers", f"{layers.same} of {len(found.after.layers)} are the same, {size(layers.same_bytes)}"))
    rows += [("only in A", f"{size(d.size):>10}  {title[:80]}") for title, d in layers.removed]
    rows += [("only in B", f"{size(d.size):>10}  {title[:80]}") for title, d in layers.added]
    rows += [(change.area, _line(change)) for change in found.changes]
    files = found.files
    sides = {"changed": files.changed, "only in A": files.removed, "only in B": files.added}
    other = ", ".join(f"{len(paths)} {side}" for side, paths in sides.items() if paths)
    rows.append(("files", f"{files.same} are the same, {other or 'all of them'}"))
    for side, paths in sides.items():
        rows += [("", f"/{path}  {side}") for path in paths[:_SHOWN]]
        if len(paths) > _SHOWN:
            rows.append(("", f"and {len(paths) - _SHOWN} more {side}: --json lists them"))
    return [*rows, ("to pull", f"{size(found.pulled)} for who has A")]


def _line(change: Change) -> str:
    if not change.before:
        return f"{change.name}: new: {change.after}"
    if not change.after:
        return f"{change.name}: gone, was {change.before}"
    return f"{change.name}: {change.before} -> {change.after}"
