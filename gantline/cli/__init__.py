"""The `gantline` command: one table from verb to module, imported when called."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ..errors import GantlineError
from ..exits import FAILED, exit_code

# verb -> (module with arguments(parser) and run(args) -> exit code, one line of help)
VERBS: dict[str, tuple[str, str]] = {
    "package": ("gantline.cli.package", "make a package of a trained model or a scoring script"),
    "inspect": ("gantline.cli.inspect", "show what a package is"),
    "verify": ("gantline.cli.verify", "check digests and replay the golden samples"),
    "serve": ("gantline.cli.serve", "serve models over HTTP"),
    "infer": ("gantline.cli.infer", "send one request to a server"),
    "config": ("gantline.cli.config", "show settings and where each value comes from"),
    "demo": ("gantline.cli.demo", "train, package, serve and score real models"),
}


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole grammar; only `verb`'s module is imported (all of them when it is None)."""
    from .. import __version__

    top = argparse.ArgumentParser(prog="gantline", description="Package trained models and serve them.")
    top.add_argument("--version", action="version", version=f"gantline {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, help_line) in VERBS.items():
        one = verbs.add_parser(name, help=help_line, description=help_line[0].upper() + help_line[1:] + ".")
        if verb in (None, name):
            import_module(module).arguments(one)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the process's exit code. Errors are one line on stderr (with --json: an object on stdout)."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((w for w in words if not w.startswith("-")), None)
    args = parser(verb if verb in VERBS else "").parse_args(words)
    try:
        return int(import_module(VERBS[args.verb][0]).run(args))
    except GantlineError as e:
        message = " ".join(e.message.split("\n"))
        if getattr(args, "json", False):
            print(json.dumps({"error": message, "kind": type(e).__name__}))  # noqa: T201  # the command's output
        else:
            print(f"gantline {args.verb}: error: {message}", file=sys.stderr)  # noqa: T201
        return exit_code(e)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader (head, less) has left; Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
