"""`gantline serve`: models behind an HTTP endpoint."""

from __future__ import annotations

import argparse
import os

from ..settings import ServeSettings, add_arguments, flags_of, resolve


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "refs", nargs="+", metavar="REF",
        help="a package, an .onnx file, a directory of packages, or a Triton model repository",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object when ready")
    add_arguments(parser, ServeSettings)


def run(args: argparse.Namespace) -> int:
    resolved = resolve(ServeSettings, flags_of(args, ServeSettings), os.environ, args.config)
    from gantline.serve.process.log import set_up_log

    set_up_log(resolved.settings)
    from gantline.serve.process.alone import serve

    return serve(resolved, args.refs, bool(args.json))
