"""`gantline run`: an image in a container engine, or without one; ready when it says so."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..exits import FAILED, OK
from . import registered, transfer
from .lock import add_sources, sources_of
from .show import print_json, table, write
from .stopping import asked_to_stop

if TYPE_CHECKING:
    from gantline.builders.engine.running import Running

URL_HELP = "the container engine (default: DOCKER_HOST, then the sockets of Docker and podman)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline run`."""
    add = parser.add_argument
    add(
        "ref", metavar="REF",
        help="a name in the store, an image archive, oci://HOST/REPOSITORY:TAG, or a package, which is built first",
    )  # fmt: skip
    add("--name", default="", help="what the endpoint is called, and its container (default: as the model)")
    add(
        "--port",
        type=_port,
        default=8000,
        metavar="N",
        help="HTTP port on this machine (default 8000); 0: any free one",
    )
    add(
        "--grpc-port",
        type=_port,
        metavar="N",
        help="gRPC port on this machine (default: --port and one); 0: any free one",
    )
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="who may reach it: 0.0.0.0 for all (default 127.0.0.1)")
    add("--network", choices=("published", "host"), default="published", help="a network of its own, or this machine's")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable for the server; repeatable")
    add(
        "--keys", nargs="?", const=True, default=False, metavar="FILE",
        help="ask for API keys: those of a keys file, or without FILE two that are made (`gantline endpoint keys`)",
    )  # fmt: skip
    add("--memory", default="", metavar="BYTES", help="the most that its container may take: 512MB, say")
    add("--wait-s", type=float, default=60.0, metavar="S", help="seconds that it may take to be ready (default 60)")
    add("--detach", action="store_true", help="leave it running, for `gantline endpoint`")
    add("--engine-url", default="", metavar="URL", help=URL_HELP)
    add("--no-engine", action="store_true", help="in namespaces of its own, as where no engine answers (Linux)")
    building(parser)
    add("--json", action="store_true", help="print one JSON object when it is ready")


def building(parser: argparse.ArgumentParser) -> None:
    """Of a REF that is a package: how its image is built."""
    add = parser.add_argument
    add("--base", default="", metavar="REF|FILE|DIR", help="of a package: the image below, as for `gantline build`")
    add("--lock", type=Path, action="append", default=[], metavar="FILE", help="of a package: its lock")
    add_sources(parser)
    transfer.connection(parser)
    registered.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Start it, say where it is when it is ready, and stay until it is told to stop."""
    from .. import api

    with asked_to_stop():
        running = api.run(
            args.ref,
            name=args.name,
            port=args.port,
            grpc_port=args.grpc_port,
            host=args.host,
            network=args.network,
            variables=dict(variable(text) for text in args.env),
            memory=args.memory,
            keys=args.keys,
            wait_s=args.wait_s,
            engine_url=args.engine_url,
            engine=not args.no_engine,
            base=args.base,
            locks=tuple(args.lock),
            sources=sources_of(args),
            wiring=transfer.wiring(args),
            registry=args.registry,
            record=False,  # when its address has been told
            log=_unheard if args.json else told,
        )
        if args.detach:
            _announce(running, args)
            running.note()
            return OK
        try:
            _announce(running, args)
            running.note()
            _show_log(running)
            while running.changed():
                _show_log(running)
            return _ended(running)
        except KeyboardInterrupt:
            return OK
        finally:
            running.stop()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r:.20} is not a port, 0 to 65535")
    return int(text)


def variable(text: str) -> tuple[str, str]:
    """NAME=VALUE, taken apart."""
    name, found, value = text.partition("=")
    if not found or not name:
        raise UsageError(f"--env {text!r:.100}: expected NAME=VALUE")
    return name, value


def told(line: str) -> None:
    """For a person, beside what is printed."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _unheard(line: str) -> None:
    pass


def _show_log(running: Running) -> None:
    """What it logs, until it ends."""
    from gantline.builders.engine.place import place_of

    place = place_of(running.record)
    try:
        for piece in place.logs(running.record, None, True):
            sys.stderr.buffer.write(piece)
            sys.stderr.flush()
    finally:
        place.close()


def _ended(running: Running) -> int:
    """The exit code for a server that ended by itself."""
    status = running.status
    told(f"endpoint {running.name}: {status.state}{f': {status.why}' if status.why else ''}")
    return OK if status.code == 0 else FAILED


def _announce(running: Running, args: argparse.Namespace) -> None:
    record = running.record
    deployed = record.deployments[0]
    if args.json:
        one = {"image": deployed.image, "image_id": deployed.image_id, "package": deployed.package}
        print_json({**record.to_json(), **one, "state": "running"})
        sys.stdout.flush()
        return
    rows = [("endpoint", record.name), ("url", record.url), ("grpc", record.grpc), ("image", deployed.image)]
    table([*rows, ("model", record.model), ("package", deployed.package)])
    write(f"\nnext:  gantline endpoint invoke {record.name} --input rows.csv\n")
    if record.keys == "own":
        write(f"       gantline endpoint keys {record.name} --show\n")
    if args.detach:
        write(f"       gantline endpoint logs {record.name}\n       gantline endpoint delete {record.name}\n")
    else:
        write("       Ctrl-C stops it\n")
    sys.stdout.flush()
