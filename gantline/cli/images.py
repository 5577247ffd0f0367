"""`gantline images`: the images and packages in the store, and what room they take; names given and taken away."""

from __future__ import annotations

import argparse
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..exits import OK
from ..home import home
from .show import columns, print_json, size, table, write

if TYPE_CHECKING:
    from ..oci.image import Image
    from ..oci.inventory import Held
    from ..oci.store import Store

_ACTIONS = {"list": (0, 0), "remove": (1, 1000), "tag": (2, 2)}  # how many names each takes


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline images`."""
    add = parser.add_argument
    add(
        "action", nargs="?", default="list", choices=tuple(_ACTIONS), metavar="ACTION",
        help="list (default); remove: take names away; tag: give what has a name another one",
    )  # fmt: skip
    add("names", nargs="*", metavar="NAME", help="remove: NAME:TAG ...; tag: NAME:TAG NEW:TAG")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from ..oci.store import Store

    least, most = _ACTIONS[args.action]
    if not least <= len(args.names) <= most:
        wanted = {0: "no names", 1: "names", 2: "two names: what it is called, and what else"}[least]
        raise UsageError(f"{args.action}: takes {wanted}, found {' '.join(args.names) or 'none'}")
    store = Store.of_user()
    if args.action == "remove":
        _remove(store, args)
    elif args.action == "tag":
        _tag(store, args)
    else:
        _list(store, args.json)
    return OK


def show(ref: str, image: Image, as_json: bool) -> None:
    """One image: what it is called, what it starts, and its layers."""
    history = [one for one in image.config.get("history") or [] if not one.get("empty_layer")]
    titles = [str(one.get("created_by") or "") for one in history] if len(history) == len(image.layers) else []
    layers: list[dict[str, Any]] = [
        {"digest": layer.digest, "bytes": layer.size, "title": title}
        for layer, title in zip(image.layers, titles or [""] * len(image.layers), strict=True)
    ]
    tree: dict[str, Any] = {
        "image": ref,
        "digest": image.descriptor.digest,
        "id": image.id,
        "platform": str(image.platform),
        "bytes": sum(layer.size for layer in image.layers),
        "labels": image.labels,
        "settings": image.settings,
        "layers": layers,
    }
    if as_json:
        print_json(tree)
        return
    rows = [(key, str(tree[key])) for key in ("image", "digest", "id", "platform")]
    rows += [("label", f"{k}={v}") for k, v in sorted(image.labels.items())]
    rows += [("variable", str(v)) for v in image.settings.get("Env") or []]
    rows += [("starts", " ".join(map(str, words))) for words in [_command(image.settings)] if words]
    rows += [(k.lower(), str(v)) for k in ("User", "WorkingDir") if (v := image.settings.get(k))]
    rows += [("layer", f"{one['digest'][:19]}  {size(one['bytes']):>9}  {one['title'][:100]}") for one in layers]
    table([*rows, ("size", size(tree["bytes"]))])


def _command(settings: dict[str, Any]) -> list[Any]:
    return [*(settings.get("Entrypoint") or []), *(settings.get("Cmd") or [])]


def _list(store: Store, as_json: bool) -> None:
    from ..oci.inventory import Inventory

    found = Inventory.of(store)
    if as_json:
        print_json({"store": str(store.root), "images": [one.to_json() for one in found.held], "bytes": found.size})
        return
    rows = [
        (one.name, one.kind, ", ".join(one.platforms), size(one.size), size(one.alone), one.digest[:19])
        for one in found.held
    ]
    columns(("NAME", "KIND", "PLATFORMS", "SIZE", "ITS OWN", "DIGEST"), rows)
    write(f"\n{size(found.size)} in {store.root}; what has no name any more, `{_collecting()}` removes\n")


def _collecting() -> str:
    """What frees this user's store: another registry has blobs of its own."""
    from ..registry.place import FILE, Place

    own = True
    with suppress(UsageError):  # a variable that is no registry is told where one is asked for
        own = Place.find().file == home() / FILE
    return "gantline registry gc" + ("" if own else f" --registry {shlex.quote(str(home()))}")


def _tag(store: Store, args: argparse.Namespace) -> None:
    from gantline.builders.evidence.opened import described
    from gantline.builders.image.order import check_tag

    name, new = args.names
    before = store.name(check_tag(new), described(name, store))
    digest = store.names()[new].digest
    if args.json:
        print_json({"name": new, "digest": digest, "was": before.digest if before else None})
    else:
        was = f", was {before.digest[:19]}" if before and before.digest != digest else ""
        write(f"{new} is {digest[:19]}{was}\n")


def _remove(store: Store, args: argparse.Namespace) -> None:
    """All of them or, if one is not there or in use, none."""
    from ..oci.inventory import Inventory

    inventory = Inventory.of(store)
    going = [inventory.get(name) for name in dict.fromkeys(args.names)]
    for one in going:
        _free(one)
    for one in going:
        store.unname(one.name)
    after = Inventory.of(store)
    freed = inventory.size - after.size
    if args.json:
        print_json({"removed": [one.to_json() for one in going], "bytes": freed})
        return
    table([("removed", f"{one.name} {one.digest[:19]}") for one in going])
    write(f"\n{size(freed)} have no name any more; `{_collecting()}` removes them a day after their last use\n")


def _free(one: Held) -> None:
    """UsageError if an endpoint of this user was started from it."""
    from gantline.builders.engine.record import Records

    records = Records.of_user()
    for name in records.names():
        record = records.find(name)
        if record is not None and any(one.name == d.image and d.image_id in one.ids for d in record.deployments):
            raise UsageError(f"{one.name}: endpoint {name} runs it; `gantline endpoint delete {name}` ends that")
