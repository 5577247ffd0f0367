"""`gantline serve`: models behind an HTTP endpoint."""

from __future__ import annotations

import argparse
import gc
import logging
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ..references import OCI, is_registered, local
from ..settings import Resolved, ServeSettings, add_arguments, flags_of, is_loopback, resolve
from . import registered, transfer

if TYPE_CHECKING:
    from ..registry.followed import Followed
    from ..registry.presence import Presence

_log = logging.getLogger("gantline.serve")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "refs", nargs="+", metavar="REF",
        help="a package, registry://NAME[:VERSION|@ALIAS], oci://HOST/REPOSITORY:TAG, an .onnx file, a directory of "
        "packages, or a Triton model repository",
    )  # fmt: skip
    registered.arguments(parser)
    transfer.connection(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object when ready")
    add_arguments(parser, ServeSettings)


def run(args: argparse.Namespace) -> int:
    resolved = resolve(ServeSettings, flags_of(args, ServeSettings), os.environ, args.config)
    gc.set_threshold(20_000, 20, 50)  # imports leave next to no cycles behind, and would be looked at again and again
    from gantline.serve.process.cores import usable_cores
    from gantline.serve.process.log import set_up_log

    set_up_log(resolved.settings)
    _warn(resolved)
    workers = resolved.settings.workers or usable_cores()
    with _presence(args) if any(map(is_registered, args.refs)) else nullcontext() as presence:
        refs, aliases = _places(args, presence)
        if not resolved.settings.follow_s or resolved.settings.model_control == "none":
            aliases = []
        if workers > 1:
            from gantline.serve.process.supervisor import supervise

            return supervise(resolved, refs, bool(args.json), workers, aliases, presence)
        from gantline.serve.process.alone import serve

        return serve(resolved, refs, bool(args.json), aliases, presence)


def _presence(args: argparse.Namespace) -> Presence:
    from ..registry.presence import Presence

    return Presence(registered.opened(args))


def _places(args: argparse.Namespace, presence: Presence | None) -> tuple[list[str], list[Followed]]:
    """Where REFs lie on this machine, in use by this process while it serves; and which are aliases, that may move."""
    places, aliases = [], []
    for at, ref in enumerate(args.refs):
        one: Followed | None = None
        if presence is not None and is_registered(ref):
            from ..registry.followed import Followed

            place, one = Followed.of(at, ref, presence)
        else:
            place = str(local(ref, wiring=transfer.wiring_of(ref, args))) if ref.startswith(OCI) else ref
        if one is not None:
            aliases.append(one)
        places.append(place)
    return places, aliases


def _warn(resolved: Resolved[ServeSettings]) -> None:
    """What an operator may do, and should know."""
    settings = resolved.settings
    if settings.front == "h2" and (origin := resolved.origins["grpc_port"]) != "default":
        _log.warning("%s: front h2 serves gRPC on the HTTP port, and nothing on %d", origin, settings.grpc_port)
    if settings.keys and not settings.tls_certificate and not is_loopback(settings.host):
        _log.warning("keys without --tls-certificate: whoever is on the way can read them, unless a proxy ends TLS")
