"""The `gantline` command: one table from verb to module, imported when called."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from ..errors import GantlineError, Unavailable, Unsupported, UsageError
from ..exits import FAILED, exit_code

# verb -> (module with arguments(parser) and run(args) -> exit code, one line of help)
VERBS: dict[str, tuple[str, str]] = {
    "package": ("gantline.cli.package", "make a package of a trained model or a scoring script"),
    "inspect": ("gantline.cli.inspect", "show what a package or an image is"),
    "verify": ("gantline.cli.verify", "check digests, signatures and golden samples"),
    "lock": ("gantline.cli.lock", "pin what a package's image needs, for each platform"),
    "build": ("gantline.cli.build", "build a container image of a package"),
    "images": ("gantline.cli.images", "show and remove the images in the store, and give them names"),
    "explain": ("gantline.cli.explain", "show what put a file into an image"),
    "diff": ("gantline.cli.diff", "show what differs between two images"),
    "run": ("gantline.cli.run", "start an image, in a container engine or without one, and wait until it is ready"),
    "endpoint": ("gantline.cli.endpoint", "see, ask, change and delete what `run` and `deploy` left running"),
    "rebuild": ("gantline.cli.rebuild", "make an image anew from what it carries, and compare"),
    "sign": ("gantline.cli.sign", "sign an image or a package, with what it was made of"),
    "push": ("gantline.cli.push", "send an image or a package to a registry"),
    "pull": ("gantline.cli.pull", "get an image or a package from a registry"),
    "deploy": (
        "gantline.cli.deploy",
        "deploy an image here, or write what compose, Kubernetes or KServe take",
    ),
    "serve": ("gantline.cli.serve", "serve models over HTTP and gRPC"),
    "infer": ("gantline.cli.infer", "send one request to a server"),
    "models": ("gantline.cli.models", "list a running server's models, their memory and last use"),
    "register": ("gantline.cli.register", "keep a package in the registry, as the next version of its name"),
    "list": ("gantline.cli.listing", "show the versions in the registry"),
    "promote": ("gantline.cli.promote", "let an alias point at a version"),
    "rollback": ("gantline.cli.rollback", "let an alias point at what it pointed at before"),
    "history": ("gantline.cli.history", "show what was done to a model, or what an alias pointed at"),
    "trace": ("gantline.cli.trace", "show what a digest came from and was made into"),
    "registry": ("gantline.cli.registry", "make, clean and change a registry"),
    "keys": ("gantline.cli.keys", "make and rotate API keys"),
    "config": ("gantline.cli.config", "show settings and where each value comes from"),
    "demo": ("gantline.cli.demo", "train, package, serve and score real models"),
}

# those that leave no half of what they write when they are told to end; others see to that themselves
WHOLE = frozenset(("package", "lock", "build", "rebuild", "verify", "explain", "diff", "sign", "push", "pull"))

# what to install -> the modules that it brings
EXTRAS = {
    "'gantline[build]'": (
        "cryptography",
        "joblib",
        "onnx",
        "packaging",
        "safetensors",
        "skl2onnx",
        "sklearn",
        "skops",
        "uv",
        "yaml",
    ),
    "'gantline[tables]'": ("pandas", "pyarrow"),
    "'gantline[torch]'": ("onnxscript", "torch"),
    "'gantline[azure]'": ("inference_schema", "werkzeug"),
    "'gantline[registry]'": ("fsspec", "sqlalchemy"),
    "'gantline[docker]'": ("docker",),
    "'gantline[postgresql]'": ("psycopg",),
    "'gantline[h2]'": ("zttp",),
}


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: one line, with the nearest flag for one that is not known."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        found, rest = super().parse_known_args(args, namespace)
        if flag := next((word.partition("=")[0] for word in rest if word.startswith("-") and word != "--"), None):
            close = get_close_matches(flag, self._option_string_actions, 1, 0.5)
            self.error(f"unknown flag {flag!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return found, rest


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The grammar of one verb, whose module alone is imported; of all of them when it is None; their names for ""."""
    from .. import __version__

    top = Parser(prog="gantline", description="Package trained models and serve them.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"gantline {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, help_line) in VERBS.items():
        if verb and name != verb:
            continue  # all of them take as long as a tenth of a server's start
        sentence = help_line[0].upper() + help_line[1:] + "."
        one = verbs.add_parser(name, help=help_line, description=sentence, allow_abbrev=False)
        if verb in (None, name):
            import_module(module).arguments(one)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the process's exit code. Errors are one line on stderr (with --json: an object on stdout)."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((w for w in words if not w.startswith("-")), "")
    try:
        if verb and verb not in VERBS:
            close = get_close_matches(verb, VERBS, 1, 0.5)
            raise UsageError(f"unknown command {verb!r}; " + (f"did you mean {close[0]!r}?" if close else "see --help"))
        args = parser(verb).parse_args(words)
        return _run(args)
    except GantlineError as e:
        return _fail(e, verb, "--json" in words)
    except ModuleNotFoundError as e:
        return _fail(_absent(e), verb, "--json" in words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader (head, less) has left; Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as e:
        return _fail(_of_system(e), verb, "--json" in words)


def _run(args: argparse.Namespace) -> int:
    run = import_module(VERBS[args.verb][0]).run
    if args.verb not in WHOLE:
        return int(run(args))
    from .stopping import asked_to_stop

    with asked_to_stop():
        return int(run(args))


def _of_system(error: OSError) -> GantlineError:
    """What a person can do about a file or a disk, where nobody nearer said it; the error itself, if nothing."""
    about = f"{error.filename}: " if isinstance(error.filename, str | os.PathLike) else ""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        why = error.strerror or type(error).__name__
        return UsageError(f"{about}{why}; choose another place (GANTLINE_HOME, TMPDIR), or become who may use it")
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return UsageError(f"{about:.80}{'...: ' if len(about) > 80 else ''}{error.strerror}; give another")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"{about}no space left on its disk; free some, or set GANTLINE_HOME or TMPDIR to another")
    raise error


def _absent(error: ModuleNotFoundError) -> GantlineError:
    """What to install for a module that an extra brings; the error itself, if no extra does."""
    module = (error.name or "").partition(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
    if extra is None:
        raise error
    return Unsupported(f"needs {module!r}, which is not installed; type: pip install {extra}")


def _fail(error: GantlineError, verb: str, as_json: bool) -> int:
    from .show import plain

    message = plain(" ".join(error.message.split("\n")))
    if as_json:
        sys.stdout.write(json.dumps({"error": message, "kind": type(error).__name__}) + "\n")
    else:
        sys.stderr.write(f"gantline{f' {verb}' if verb in VERBS else ''}: error: {message}\n")
    return exit_code(error)
