"""`gantline registry serve`: the registry's blobs and names, as registries of container images are spoken to."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..oci.store import Store


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only `serve` takes."""
    add = parser.add_argument
    add("--host", default="", metavar="ADDRESS", help="serve: where to listen (default: 127.0.0.1)")
    add("--port", type=int, default=None, metavar="N", help="serve: the port; 0: any free one (default: 5000)")
    add("--keys", default="", metavar="FILE", help="serve: API keys; role score pulls, role admin pushes too")
    add("--no-auth", action="store_true", help="serve: let others reach it without keys")
    add("--tls-certificate", default="", metavar="FILE", help="serve: certificate chain, PEM")
    add("--tls-key", default="", metavar="FILE", help="serve: its private key, PEM")


def given(args: argparse.Namespace) -> list[str]:
    """The flags of `serve` that were given."""
    flags = ("host", "port", "keys", "no_auth", "tls_certificate", "tls_key")
    return ["--" + name.replace("_", "-") for name in flags if getattr(args, name) not in ("", None, False)]


def serve(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from gantline.serve.distribution.server import Wanted, serve_distribution

    default = Wanted()
    if args.port is not None and not 0 <= args.port < 1 << 16:
        raise UsageError(f"--port {args.port}: expected 0 to 65535")
    wanted = Wanted(
        args.host or default.host,
        default.port if args.port is None else args.port,
        args.keys,
        args.no_auth,
        args.tls_certificate,
        args.tls_key,
    )
    return serve_distribution(_store(args.registry), wanted, bool(args.json))


def _store(registry: str) -> Store:
    """Where a registry keeps its blobs, which must be a directory."""
    from ..oci.store import Store
    from ..registry.place import STORE, Place

    place = Place.find(registry or None)
    if place.file is not None and not os.path.isfile(place.file):  # what one may not read, `prepared` says
        return Store(place.file.parent / STORE).prepared()
    from ..registry.blob_store import LocalBlobs
    from ..registry.registry import Registry

    with Registry(place) as opened:
        if not isinstance(opened.blobs, LocalBlobs):
            raise UsageError(
                f"registry {place}: its blobs are at {opened.blobs_at}; those in a directory can be served"
            )
        return opened.blobs.store.prepared()
