"""`gantline endpoint`: what `gantline run` left running in a container engine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import Unavailable
from ..exits import OK
from . import infer, remote
from .run import URL_HELP
from .show import columns, print_json, table, write

if TYPE_CHECKING:
    from gantline.builders.engine.engine import Engine


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
    _act(acts, "delete", "let it finish what it has accepted, and remove it")


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
    from gantline.builders.engine.engine import needed

    engine = needed(args.engine_url)
    try:
        return {"list": _list, "show": _show, "invoke": _invoke, "logs": _logs, "delete": _delete}[args.act](
            engine, args
        )
    finally:
        engine.close()


def _list(engine: Engine, args: argparse.Namespace) -> int:
    from gantline.builders.engine.container import endpoints

    found = endpoints(engine)
    if args.json:
        print_json([one.to_json() for one in found])
        return OK
    rows = [(e.name, e.state, e.url, e.model, e.image, e.package[:19], e.created[:19]) for e in found]
    columns(("NAME", "STATE", "URL", "MODEL", "IMAGE", "PACKAGE", "CREATED"), rows)
    return OK


def _show(engine: Engine, args: argparse.Namespace) -> int:
    from gantline.builders.engine.container import shown

    found = shown(engine, args.name).to_json()
    if args.json:
        print_json(found)
    else:
        table((what.replace("_", " "), value) for what, value in found.items() if value)
    return OK


def _invoke(engine: Engine, args: argparse.Namespace) -> int:
    from gantline.builders.engine.container import shown

    found = shown(engine, args.name)
    if not found.url:
        raise Unavailable(f"endpoint {found.name}: {found.state}; `gantline endpoint logs {found.name}` says why")
    return infer.run(argparse.Namespace(**{**vars(args), "model": found.model, "url": found.url}))


def _logs(engine: Engine, args: argparse.Namespace) -> int:
    from gantline.builders.engine.container import logs

    for piece in logs(engine, args.name, args.tail, args.follow):
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    return OK


def _delete(engine: Engine, args: argparse.Namespace) -> int:
    from gantline.builders.engine.container import delete

    delete(engine, args.name)
    if args.json:
        print_json({"deleted": args.name})
    else:
        write(f"deleted  {args.name}\n")
    return OK
