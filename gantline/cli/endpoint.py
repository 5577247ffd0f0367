"""`gantline endpoint`: what `gantline run` or `gantline deploy` left running, wherever that is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..endpoint_keys import OWN, anew, rotated, taken
from ..errors import GantlineError, UsageError
from ..exits import OK
from . import infer, registered, remote, transfer
from .run import URL_HELP, building, told, variable
from .show import columns, print_json, table, write
from .stopping import asked_to_stop

if TYPE_CHECKING:
    from gantline.builders.engine.key_folder import KeyFolder
    from gantline.builders.engine.place import Place, Rotating, Status
    from gantline.builders.engine.record import Record


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline endpoint`."""
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    _act(acts, "list", "all that were started, running or not", named=False)
    _act(acts, "show", "one: where it answers, and what it was made of")
    invoke = _act(acts, "invoke", "send it a file of rows, as `gantline infer` does", json=False)
    infer.sending(invoke)
    remote.asking(invoke)
    logs = _act(acts, "logs", "what it has logged", json=False)
    logs.add_argument("--tail", type=int, metavar="N", help="the last lines only")
    logs.add_argument("--follow", action="store_true", help="and what comes, until it ends")
    update = _act(acts, "update", "put another image, or other variables, in its place, at the same address")
    add = update.add_argument
    add("ref", nargs="?", default="", metavar="REF", help="as for `gantline run` (default: the image that it has)")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="set a variable; repeatable")
    add("--unset", action="append", default=[], metavar="NAME", help="take a variable out; repeatable")
    add("--wait-s", type=float, default=60.0, metavar="S", help="seconds that it may take to be ready (default 60)")
    building(update)
    keys = _act(acts, "keys", "the API keys that it asks for: primary and secondary")
    one = keys.add_mutually_exclusive_group()
    one.add_argument("--rotate", choices=("primary", "secondary"), help="make one anew; the other stays valid")
    one.add_argument("--refresh", action="store_true", help="read again the file that `run --keys FILE` was given")
    one.add_argument("--show", action="store_true", help="print the secrets")
    keys.add_argument("--key", default="", metavar="KEY", help="whose, where a cluster keeps those of several")
    delete = _act(acts, "delete", "let it finish what it has accepted, and remove it")
    registered.arguments(delete)
    delete.add_argument("--forget", action="store_true", help="take it off this user's record only; it is not ended")


def _act(
    acts: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    named: bool = True,
    json: bool = True,
) -> argparse.ArgumentParser:
    parser = acts.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False)
    if named:
        parser.add_argument("name", metavar="NAME", help="as `gantline run --name` called it")
    parser.add_argument("--engine-url", default="", metavar="URL", help=URL_HELP)
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def run(args: argparse.Namespace) -> int:
    """Do one of these."""
    acts = {
        "list": _list, "show": _show, "invoke": _invoke, "logs": _logs, "update": _update, "keys": _keys,
        "delete": _delete,
    }  # fmt: skip
    return acts[args.act](args)


@contextmanager
def _at(record: Record) -> Iterator[Place]:
    from gantline.builders.engine.place import place_of

    place = place_of(record)
    try:
        yield place
    finally:
        place.close()


def _record(args: argparse.Namespace) -> Record:
    """By its name: of this user's records, or of an engine's containers that another user or home has started."""
    from gantline.builders.engine.found import record_of

    return record_of(args.name, args.engine_url)


def _list(args: argparse.Namespace) -> int:
    from gantline.builders.engine.found import everything

    found = [(record, _status(record)) for record in everything(args.engine_url, told)]
    if args.json:
        print_json([_tree(record, status) for record, status in found])
        return OK
    rows = []
    for record, status in found:
        images = ", ".join(one.image for one in record.deployments)
        packages = ", ".join(one.package[:19] for one in record.deployments)
        rows.append(
            (record.name, record.place, status.state, status.url, record.model, images, packages, record.created[:19])
        )
    columns(("NAME", "PLACE", "STATE", "URL", "MODEL", "IMAGE", "PACKAGE", "CREATED"), rows)
    return OK


def _status(record: Record) -> Status:
    from gantline.builders.engine.place import Status

    try:
        with _at(record) as place:
            return place.status(record)
    except GantlineError as e:  # the list is of all, whatever is wrong with one
        return Status("unknown", why=e.message)


def _tree(record: Record, status: Status) -> dict[str, object]:
    one = record.deployments[0]
    return {
        **record.to_json(), "state": status.state, "why": status.why, "url": status.url, "grpc": status.grpc,
        "image": one.image, "image_id": one.image_id, "package": one.package,
    }  # fmt: skip


def _show(args: argparse.Namespace) -> int:
    record = _record(args)
    status = _status(record)
    if args.json:
        print_json(_tree(record, status))
        return OK
    rows = [("name", record.name), ("place", f"{record.place} {record.where}".strip()), ("state", status.state)]
    rows += [("why", status.why), ("url", status.url), ("grpc", status.grpc), ("model", record.model)]
    for one in record.deployments:
        rows += [("deployment", f"{one.name}, {one.traffic} % of the traffic"), ("image", one.image)]
        rows += [("image id", one.image_id), ("package", one.package)]
    keys = "primary and secondary" if record.keys == OWN else record.keys
    rows += [("keys", keys or "none: whoever reaches it may ask it"), ("created", record.created)]
    table((what, value) for what, value in rows if value)
    return OK


def _invoke(args: argparse.Namespace) -> int:
    from gantline.builders.engine.running import reached

    with reached(_record(args)) as found:
        keys = _folder(found).secret_file("primary") if args.key_file is None and found.keys == OWN else args.key_file
        return infer.run(argparse.Namespace(**{**vars(args), "model": found.model, "url": found.url, "key_file": keys}))


def _logs(args: argparse.Namespace) -> int:
    from gantline.builders.engine.record import Records

    record, tail = _record(args), args.tail
    while True:
        with _at(record) as place:
            for piece in place.logs(record, tail, args.follow):
                sys.stdout.buffer.write(piece)
                sys.stdout.flush()
        after = Records.of_user().find(record.name) if args.follow else None
        if after is None or after == record or not after.same(record):
            return OK
        record, tail = after, None  # another has taken its place


def _update(args: argparse.Namespace) -> int:
    from gantline.builders.engine.place import Change
    from gantline.builders.engine.start import update

    from ..api import bringing, noting
    from .lock import sources_of

    variables: dict[str, str | None] = {name: None for name in args.unset}
    variables |= dict(variable(text) for text in args.env)
    if not args.ref and not variables:
        raise UsageError("update: nothing to change; name an image, --env NAME=VALUE or --unset NAME")
    if args.engine_url and not (there := _record(args)).details:
        raise UsageError(f"endpoint {args.name}: the one in engine {there.where} was not started by this user")
    say = (lambda line: None) if args.json else told
    bring = bringing(args.base, tuple(args.lock), sources_of(args), transfer.wiring(args), args.registry, say)
    with asked_to_stop():
        record = update(args.name, Change(args.ref, bring, variables, args.wait_s, say, transfer.wiring(args)))
        noting(args.registry, say)(record, True)
    if args.json:
        print_json(_tree(record, _status(record)))
    else:
        one = record.deployments[0]
        rows = [("endpoint", record.name), ("url", record.url), ("image", one.image), ("package", one.package)]
        table((what, value) for what, value in rows if value)
    return OK


def _keys(args: argparse.Namespace) -> int:
    from gantline.builders.engine.key_folder import KINDS
    from gantline.builders.engine.record import Records

    record = _record(args)
    if args.key and not (args.rotate and record.place in ("kubernetes", "kserve")):
        raise UsageError("--key says whose key --rotate makes anew, of those that a cluster keeps")
    if args.rotate or args.refresh:
        with Records.of_user().claim(record.name):  # two at once could each write what the other has changed
            return _changed(args, record)
    with _at(record) as place:
        place.keys(record)
    _check_keys(record)
    if record.keys != OWN and args.show:
        raise _of_a_file(record)
    keys = _folder(record)
    shown = {kind: keys.secret(kind) if args.show else str(keys.secret_file(kind)) for kind in KINDS}
    _told(args, record, shown if record.keys == OWN else {"file": record.keys}, "")
    return OK


def _check_keys(record: Record) -> None:
    if not record.keys:
        raise UsageError(f"endpoint {record.name}: asks nobody for keys; start it with `gantline run --keys`")


def _of_a_file(record: Record) -> UsageError:
    return UsageError(
        f"endpoint {record.name}: its keys are those of a file: `gantline keys rotate --keys {record.keys}`, "
        f"then `gantline endpoint keys {record.name} --refresh`"
    )


def _changed(args: argparse.Namespace, record: Record) -> int:
    from gantline.builders.engine.place import Rotating

    with _at(record) as place:
        if args.rotate and record.keys and isinstance(place, Rotating):
            return _rotated_there(args, record, place)
        folder = place.keys(record)
    _check_keys(record)
    keys = _folder(record)
    if args.refresh:
        if record.keys == OWN:
            raise UsageError(f"endpoint {record.name}: its keys are of no file; --rotate primary makes one anew")
        taken(keys, Path(record.keys))
        _told(args, record, {"file": record.keys, "copy": str(folder)}, f"read again: {record.keys}")
        return OK
    if record.keys != OWN:
        raise _of_a_file(record)
    return _rotate(args, record, keys)


def _rotate(args: argparse.Namespace, record: Record, keys: KeyFolder) -> int:
    from gantline.builders.engine.running import in_force

    secret = rotated(keys, args.rotate)
    return _new_key(args, record, secret, in_force(record, secret))


def _rotated_there(args: argparse.Namespace, record: Record, place: Rotating) -> int:
    where = "secret {}, {}".format(*record.keys.partition(":")[::2])
    return _new_key(args, record, *place.rotate(record, lambda text: anew(text, args.rotate, args.key, where)))


def _new_key(args: argparse.Namespace, record: Record, secret: str, taken: bool) -> int:
    if args.json:
        print_json({"name": record.name, "rotated": args.rotate, args.rotate: secret, "in_force": taken})
    else:
        since = "in force" if taken else "in force as soon as what serves it has read it"
        sys.stderr.write(f"The new {args.rotate} key, {since}; the other stays as it was.\n")
        write(secret + "\n")
    return OK


def _told(args: argparse.Namespace, record: Record, rows: dict[str, str], line: str) -> None:
    if args.json:
        print_json({"name": record.name, **rows})
    elif line:
        write(line + "\n")
    else:
        table(rows.items())


def _delete(args: argparse.Namespace) -> int:
    from gantline.builders.engine.record import Records
    from gantline.builders.engine.start import delete

    if args.forget:
        Records.of_user().remove(Records.of_user().get(args.name).name)
    else:
        from ..api import noting

        record = _record(args)
        try:
            delete(record)
        except GantlineError as e:  # its cluster is away, say, or was never told of it
            raise type(e)(f"{e.message}; `--forget` takes it off this user's record only") from e
        noting(args.registry, told)(record, False)
    done = "forgotten" if args.forget else "deleted"
    if args.json:
        print_json({done: args.name})
    else:
        write(f"{done}  {args.name}\n")
    return OK


def _folder(record: Record) -> KeyFolder:
    from gantline.builders.engine.key_folder import KeyFolder
    from gantline.builders.engine.record import Records

    return KeyFolder(Records.of_user().folder(record.name))
