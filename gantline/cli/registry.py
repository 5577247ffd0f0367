"""`gantline registry`: what is done to a registry as a whole, and what else there is to change in it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import BadArtefact, NotFound, UsageError
from ..exits import OK
from . import distribution, registered
from .promote import told
from .show import print_json, size, table, write

if TYPE_CHECKING:
    from ..oci.descriptor import Descriptor
    from ..registry.registry import Registry

_DAY = "1 day"
_SERVE = "serve"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline registry`."""
    add = parser.add_argument
    add(
        "action", choices=(*_ACTIONS, _SERVE), metavar="ACTION",
        help="init: make it; gc: remove blobs that nothing refers to; migrate: bring an older one to this format; tag: "
        "set tags of a version (K=V, or K to take it away); release: take an alias away; remove: forget a version; "
        "retire: an endpoint that is gone runs nothing any more; "
        "serve: let others push and pull, as docker and podman do",
    )  # fmt: skip
    add(
        "ref",
        nargs="?",
        default="",
        metavar="REF",
        help="tag, remove: NAME:VERSION; release: NAME@ALIAS; retire: ENDPOINT[/DEPLOYMENT]",
    )
    add("labels", nargs="*", default=[], metavar="K=V", help="tag: what to set")
    add("--blobs", default="", metavar="DIR|URL", help="init: where blobs go: s3://BUCKET/PREFIX, abfs://..., a folder")
    add("--dry-run", action="store_true", help="gc: only show what would be removed")
    add("--older-than", default=_DAY, metavar="SPAN", help=f"gc: what was not touched for so long (default: {_DAY})")
    add(
        "--untagged", action="store_true", help="gc: also manifests that were pushed to `serve` and that no tag leads "
        "to any more, unless an index, a version, a recorded image or an endpoint has them",
    )  # fmt: skip
    registered.arguments(parser)
    distribution.arguments(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    _check(args)
    if args.action == _SERVE:
        return distribution.serve(args)
    with registered.opened(args) as registry:
        _ACTIONS[args.action](registry, args)
    return OK


def _check(args: argparse.Namespace) -> None:
    needs = args.action in ("tag", "release", "remove", "retire")
    if needs != bool(args.ref):
        raise UsageError(f"{args.action}: " + ("needs a REF" if needs else f"takes no REF, found {args.ref!r}"))
    if args.labels and args.action != "tag":
        raise UsageError(f"{args.action}: takes no {args.labels[0]!r}")
    if args.blobs and args.action != "init":
        raise UsageError(f"{args.action}: --blobs is for init")
    if args.action != _SERVE and (flags := distribution.given(args)):
        raise UsageError(f"{args.action}: {', '.join(flags)} {'is' if len(flags) == 1 else 'are'} for serve")
    if (args.dry_run or args.untagged or args.older_than != _DAY) and args.action != "gc":
        raise UsageError(f"{args.action}: --dry-run, --untagged and --older-than are for gc")


def _init(registry: Registry, args: argparse.Namespace) -> None:
    made = registry.make(args.blobs)
    where = str(registry.blobs)
    if args.json:
        print_json({"registry": str(registry.place), "blobs": where, "made": made})
    else:
        table([("registry", f"{registry.place}{'' if made else ', which was there'}"), ("blobs", where)])


def _gc(registry: Registry, args: argparse.Namespace) -> None:
    found = registry.collect(args.older_than, args.dry_run, args.untagged, _of_endpoints())
    if args.json:
        print_json({**found.to_json(), "dry_run": args.dry_run})
        return
    verb = "would remove" if args.dry_run else "removed"
    what = [(verb, f"{len(found.blobs)} blobs, {size(found.size)}"), (verb, f"{len(found.checkouts)} checkouts")]
    table([*((verb, name) for name in found.names), *what, ("kept", f"{found.kept} blobs")])


def _of_endpoints() -> list[Descriptor]:
    """The images of this user's endpoints, which may have no name any more and are wanted for a restart."""
    from gantline.builders.engine.record import Records

    from ..oci.descriptor import Descriptor

    found = []
    for record in Records.of_user().all():
        with suppress(BadArtefact):
            found.append(Descriptor.from_json(record.details.get("manifest"), record.name))
    return found


def _migrate(registry: Registry, args: argparse.Namespace) -> None:
    before, after = registry.migrate()
    if args.json:
        print_json({"registry": str(registry.place), "format": after, "was": before})
    else:
        write(f"{registry.place} has format {after}, had {before}\n")


def _tag(registry: Registry, args: argparse.Namespace) -> None:
    if not args.labels:
        raise UsageError("tag: what? expected KEY=VALUE, or KEY to take it away")
    version = registry.tag(args.ref, registered.wanted(args.labels))
    if args.json:
        print_json(version.to_json())
    else:
        table([("version", version.id), *(("tag", f"{k}={v}") for k, v in version.tags.items())])


def _release(registry: Registry, args: argparse.Namespace) -> None:
    told(registry.release(*registered.alias_of(args.ref, "release")), args.json)


def _remove(registry: Registry, args: argparse.Namespace) -> None:
    version = registry.remove(args.ref)
    if args.json:
        print_json(version.to_json())
    else:
        write(f"{version.id} {version.digest} is removed; `gantline registry gc` frees its room\n")


def _retire(registry: Registry, args: argparse.Namespace) -> None:
    gone = registry.retire(args.ref)
    if not gone:
        raise NotFound(
            f"registry {registry.place}: {args.ref!r:.100} is no recorded deployment; `gantline trace` has them"
        )
    if args.json:
        print_json({"retired": gone})
    else:
        table([("retired", name) for name in gone])


_ACTIONS: dict[str, Callable[[Registry, argparse.Namespace], None]] = {
    "init": _init,
    "gc": _gc,
    "migrate": _migrate,
    "tag": _tag,
    "release": _release,
    "remove": _remove,
    "retire": _retire,
}
