"""`gantline serve`: models behind an HTTP endpoint."""

from __future__ import annotations

import argparse
import gc
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..references import is_registered, served
from ..settings import Resolved, ServeSettings, add_arguments, flags_of, is_loopback, resolve
from . import registered

if TYPE_CHECKING:
    from ..registry.followed import Followed

_log = logging.getLogger("gantline.serve")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "refs", nargs="+", metavar="REF",
        help="a package, registry://NAME[:VERSION|@ALIAS], oci://HOST/REPOSITORY:TAG, an .onnx file, a directory of "
        "packages, or a Triton model repository",
    )  # fmt: skip
    registered.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object when ready")
    add_arguments(parser, ServeSettings)


def run(args: argparse.Namespace) -> int:
    resolved = resolve(ServeSettings, flags_of(args, ServeSettings), os.environ, args.config)
    gc.set_threshold(20_000, 20, 50)  # imports leave next to no cycles behind, and would be looked at again and again
    from gantline.serve.process.cores import usable_cores
    from gantline.serve.process.log import set_up_log

    set_up_log(resolved.settings)
    _warn(resolved)
    refs, aliases = _places(args.refs, args.registry)
    if not resolved.settings.follow_s or resolved.settings.model_control == "none":
        aliases = []
    workers = resolved.settings.workers or usable_cores()
    if workers > 1:
        from gantline.serve.process.supervisor import supervise

        return supervise(resolved, refs, bool(args.json), workers, aliases, args.registry)
    from gantline.serve.process.alone import serve

    return serve(resolved, refs, bool(args.json), aliases, args.registry)


def _places(refs: Sequence[str], registry: str) -> tuple[list[str], list[Followed]]:
    """Where REFs lie on this machine, in use by this process while it serves; and which are aliases, that may move."""
    places, aliases = [], []
    for at, ref in enumerate(refs):
        one: Followed | None = None
        if is_registered(ref):
            from ..registry.followed import Followed

            one = Followed.of(at, ref, registry)
        if one is not None:
            aliases.append(one)
        places.append(served(ref, registry) if one is None else one.place)
    return places, aliases


def _warn(resolved: Resolved[ServeSettings]) -> None:
    """What an operator may do, and should know."""
    settings = resolved.settings
    if settings.front == "h2" and (origin := resolved.origins["grpc_port"]) != "default":
        _log.warning("%s: front h2 serves gRPC on the HTTP port, and nothing on %d", origin, settings.grpc_port)
    if settings.keys and not settings.tls_certificate and not is_loopback(settings.host):
        _log.warning("keys without --tls-certificate: whoever is on the way can read them, unless a proxy ends TLS")
