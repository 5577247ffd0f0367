"""`gantline run`: an image in a container engine, or without one; ready when it says so."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..exits import OK
from . import registered
from .show import print_json, table, write

if TYPE_CHECKING:
    from gantline.builders.engine.endpoint import Endpoint
    from gantline.builders.engine.engine import Engine
    from gantline.builders.engine.subject import Subject
    from gantline.builders.engine.wish import Wish

    from ..oci.descriptor import Descriptor
    from ..oci.platforms import Platform

URL_HELP = "the container engine (default: DOCKER_HOST, then the sockets of Docker and podman)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline run`."""
    add = parser.add_argument
    add(
        "ref", metavar="REF",
        help="a name in the store, an image archive, oci://HOST/REPOSITORY:TAG, or a package, which is built first",
    )  # fmt: skip
    add("--name", default="", help="what the container is called (default: as the model)")
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
    add("--memory", default="", metavar="BYTES", help="the most that its container may take: 512MB, say")
    add("--wait-s", type=float, default=60.0, metavar="S", help="seconds that it may take to be ready (default 60)")
    add("--detach", action="store_true", help="leave it running, for `gantline endpoint`; needs an engine")
    add("--engine-url", default="", metavar="URL", help=URL_HELP)
    add("--no-engine", action="store_true", help="in namespaces of its own, as where no engine answers (Linux)")
    add("--base", default="", metavar="REF|FILE|DIR", help="of a package: the image below, as for `gantline build`")
    registered.arguments(parser)
    add("--json", action="store_true", help="print one JSON object when it is ready")


def run(args: argparse.Namespace) -> int:
    """Start it, say where it is when it is ready, and stay until it is told to stop."""
    from gantline.builders.engine.engine import find
    from gantline.builders.engine.subject import subject

    from ..oci.platforms import Platform
    from ..oci.store import Store

    engine = None if args.no_engine else find(args.engine_url)
    if engine is None:
        what = subject(args.ref, Platform.of_this_machine(), Store.of_user(), _builder(args))
        return _alone(what, _wish(args, what), args)
    try:
        what = subject(args.ref, engine.platform, Store.of_user(), _builder(args))
        return _in_engine(engine, what, _wish(args, what), args)
    finally:
        engine.close()


def _alone(what: Subject, wish: Wish, args: argparse.Namespace) -> int:
    from gantline.builders.engine.alone import command, running
    from gantline.builders.engine.awaiting import url
    from gantline.builders.engine.unpack import unpacked
    from gantline.builders.engine.wish import model, settled

    from ..home import home

    if args.detach or args.memory:
        raise UsageError("without a container engine it goes with this command, unlimited: no --detach, no --memory")
    wish = settled(wish)
    root = unpacked(what.store, what.image, home() / "rootfs")
    words, variables = command(root, what.image, wish, _told)
    with _asked_to_stop(), running(words, variables, wish, args.wait_s) as process:
        named = model(what.image)
        found = {"name": wish.name, "url": url(wish.host, wish.port), "model": named, "image": what.name}
        found["grpc"] = url(wish.host, wish.grpc_port).removeprefix("http://")
        if args.json:
            print_json(found)
        else:
            table((key, found[key]) for key in ("url", "grpc", "image", "model"))
            write(f"\nnext:  gantline infer {named} --url {found['url']} --input rows.csv\n       Ctrl-C stops it\n")
        sys.stdout.flush()
        try:
            return process.wait()
        except KeyboardInterrupt:
            return OK


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r:.20} is not a port, 0 to 65535")
    return int(text)


def _wish(args: argparse.Namespace, what: Subject) -> Wish:
    from gantline.builders.engine.wish import Wish, model

    from ..setting import size_of

    variables = dict(_variable(text) for text in args.env)
    grpc = args.grpc_port if args.grpc_port is not None else args.port and args.port % 65535 + 1
    memory = size_of(args.memory, "--memory") if args.memory else 0
    name = args.name or model(what.image)
    return Wish(name, args.port, grpc, args.host, args.network == "host", variables, (), memory)


def _variable(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise UsageError(f"--env {text!r:.100}: expected NAME=VALUE")
    return name, value


def _builder(args: argparse.Namespace) -> Any:
    """Builds a package's image when a REF turns out to be one."""

    def build(ref: str, platform: Platform) -> tuple[str, Descriptor]:
        from ..api import build as build_image

        done = build_image(ref, platforms=(str(platform),), base=args.base, registry=args.registry, log=_told)
        return done.tag, done.descriptor

    return build


def _told(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _in_engine(engine: Engine, what: Subject, wish: Wish, args: argparse.Namespace) -> int:
    from gantline.builders.engine import container

    there, reused = engine.load(what.store, what.image, what.name)
    if not args.json:
        _told(f"image {what.name}: {'there already' if reused else 'loaded'}")
    found = container.start(engine, what.image, there, what.name, wish, args.wait_s)
    _announce(found, args, engine.url, reused)
    if args.detach:
        return OK
    with _asked_to_stop():
        try:
            return container.follow(engine, found.name)
        except KeyboardInterrupt:
            return OK
        finally:
            container.delete(engine, found.name)


def _announce(found: Endpoint, args: argparse.Namespace, engine: str, reused: bool) -> None:
    if args.json:
        print_json({**found.to_json(), "engine": engine, "image_reused": reused})
        sys.stdout.flush()
        return
    rows = [("endpoint", found.name), ("url", found.url), ("grpc", found.grpc), ("image", found.image)]
    table([*rows, ("model", found.model), ("package", found.package)])
    write(f"\nnext:  gantline infer {found.model} --url {found.url} --input rows.csv\n")
    if args.detach:
        write(f"       gantline endpoint logs {found.name}\n       gantline endpoint delete {found.name}\n")
    else:
        write("       Ctrl-C stops it\n")
    sys.stdout.flush()


@contextmanager
def _asked_to_stop() -> Iterator[None]:
    """SIGTERM as Ctrl-C, for a block."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
