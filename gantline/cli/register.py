"""`gantline register`: keep a package in the registry, as the next version of its name."""

from __future__ import annotations

import argparse

from ..exits import OK
from ..references import local
from . import registered, transfer
from .show import print_json, write


def arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of `gantline register`."""
    add = parser.add_argument
    add("ref", metavar="REF", help="a package; one that is registered keeps its version")
    add("--alias", default="", metavar="A", help="let this alias point at it, as `gantline promote` does")
    add("--tag", action="append", default=[], metavar="K=V", help="set a tag, which may change later; repeatable")
    add("--property", action="append", default=[], metavar="K=V", help="a property, which stays; repeatable")
    add("--run", default="", metavar="ID", help="the MLflow run that trained it (default: what the package says)")
    add(
        "--tracking", default="", metavar="URI",
        help="where that run is looked up: a directory, sqlite:///FILE or a server (default: MLFLOW_TRACKING_URI, "
        "or ./mlflow.db or ./mlruns)",
    )  # fmt: skip
    add("--parent", default="", metavar="REF", help="the registered model that it was made from")
    add("--new-version", action="store_true", help="give it a new version, although the package is registered")
    registered.arguments(parser)
    transfer.connection(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Register it and print `NAME:VERSION DIGEST`."""
    tags = registered.labels(args.tag, "--tag")
    properties = registered.labels(args.property, "--property")
    with registered.opened(args) as registry:
        version = registry.register(
            local(args.ref, args.registry, transfer.wiring_of(args.ref, args)),
            alias=args.alias,
            tags=tags,
            properties=properties,
            run=args.run,
            tracking=args.tracking,
            parent=args.parent,
            new_version=args.new_version,
        )
    if args.json:
        print_json({**version.to_json(), "created": version.created})
    else:
        write(f"{version.id} {version.digest}\n")
    return OK
