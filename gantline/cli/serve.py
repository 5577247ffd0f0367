"""`gantline serve`: models behind an HTTP endpoint."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shlex
import sys
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import BadArtefact, UsageError
from ..exits import FAILED, OK
from ..settings import Resolved, ServeSettings, add_arguments, flags_of, resolve

if TYPE_CHECKING:
    from gantline.serve.app import Stack
    from gantline.serve.repository import Slot

    from ..packages import Package

SHORT = 600  # bytes of a body that is printed


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "refs", nargs="+", metavar="REF",
        help="a package, an .onnx file, a directory of packages, or a Triton model repository",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object when ready")
    add_arguments(parser, ServeSettings)


def run(args: argparse.Namespace) -> int:
    resolved = resolve(ServeSettings, flags_of(args, ServeSettings), os.environ, args.config)
    set_up_log(resolved.settings)
    from gantline.serve.app import build_stack
    from gantline.serve.process.server import bind
    from gantline.serve.process.server import run as serve
    from gantline.serve.repository_layout import find_entries

    entries = find_entries(args.refs)
    _check_default(resolved.settings.default, {e.name for e in entries})
    explicit = {str(Path(r)) for r in args.refs}
    listener = bind(resolved.settings)
    port = listener.getsockname()[1]
    announce = Announcement(resolved, port, bool(args.json), len(explicit))
    find = partial(find_entries, args.refs)  # again, when a model is to be loaded anew
    main = serve(lambda: build_stack(resolved, entries, find), listener, announce.progress, announce.ready)
    with listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        clean = runner.run(main)
    if not clean:
        # a thread may be computing still, and would be waited for
        logging.shutdown()
        sys.stdout.flush()
        os._exit(FAILED)
    return OK


def _check_default(default: str, names: set[str]) -> None:
    """UsageError when the default model is none of those: `/score` would be answered 404 for ever."""
    if default and default not in names:
        close = get_close_matches(default, names, 1, 0.5)
        raise UsageError(
            f"default '{default}': no such model in what is served; "
            + (f"did you mean '{close[0]}'?" if close else f"there is {', '.join(sorted(names)[:8])}")
        )


class Announcement:
    """What the operator is told: progress, then where the server listens and a curl line that works."""

    def __init__(self, resolved: Resolved[ServeSettings], port: int, as_json: bool, refs: int) -> None:
        self.settings = resolved.settings
        self.port = port
        self.as_json = as_json
        self.refs = refs

    @property
    def url(self) -> str:
        host = self.settings.host if self.settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
        scheme = "https" if self.settings.tls_certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def progress(self, done: int, total: int, slot: Slot) -> None:
        if not self.as_json and total > 20 and sys.stderr.isatty():
            sys.stderr.write(f"\rloading {done}/{total} {slot.entry.name:<40.40}" + ("\n" if done == total else ""))
            sys.stderr.flush()

    def ready(self, stack: Stack, failed: list[Slot]) -> None:
        """BadArtefact when nothing can be served: a server without a model helps nobody."""
        loaded = [s for s in stack.repository.slots() if s.model is not None]
        if not loaded:
            raise BadArtefact("; ".join(s.reason for s in failed[:3]) or "no model could be loaded")
        if self.as_json:
            models = [{"name": s.entry.name, "version": s.entry.version, "state": s.state} for s in loaded]
            broken = [{"name": s.entry.name, "version": s.entry.version, "reason": s.reason} for s in failed]
            self._write({"url": self.url, "models": models, "failed": broken})
            return
        lines = [f"Gantline listens on {self.url} with {len(loaded)} model{'s' * (len(loaded) != 1)} ready:"]
        lines += [f"  {s.entry.name}:{s.entry.version}" for s in loaded[:10]]
        lines += [f"  and {len(loaded) - 10} more"] * (len(loaded) > 10)
        lines += [f"  NOT SERVED {s.entry.name}:{s.entry.version}: {s.reason}" for s in failed[:10]]
        lines += ["Try:", "  " + _curl(self.url, stack)]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    def _write(self, tree: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(tree) + "\n")
        sys.stdout.flush()


def set_up_log(settings: ServeSettings) -> None:
    """Log to stderr in the form that the settings ask for."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        tree = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            tree["exception"] = self.formatException(record.exc_info)
        return json.dumps(tree)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


def _curl(url: str, stack: Stack) -> str:
    """A line that works when pasted: an infer of a known input, or what describes a script that takes anything."""
    from gantline.accelerators.warming import example
    from gantline.wire.v2 import encode_request

    from ..request import Request

    models = [s.model for s in stack.repository.slots() if s.model is not None]
    default = stack.repository.default_model()
    for model in models:
        script = model.session.package.manifest.script
        if script is not None and script.contract == "azure":
            if text := _short_sample(model.session.package):
                path = "/score" if model is default else f"/models/{quote(model.name)}/score"
                return f"curl -s {url}{path} -H 'content-type: application/json' -d {shlex.quote(text)}"
            continue
        body, _ = encode_request(Request(example(model.session)), binary=False)
        if len(body) <= SHORT:
            return f"curl -s {url}/v2/models/{quote(model.name)}/infer -d {shlex.quote(body.decode())}"
    script = models[0].session.package.manifest.script
    if script is not None and script.contract == "azure":
        return f"curl -s {url}/models/{quote(models[0].name)}/swagger.json"
    return f"curl -s {url}/v2/models/{quote(models[0].name)}"


def _short_sample(package: Package) -> str:
    """The JSON body that a script was packaged with, when it can be pasted; else nothing."""
    golden = next((g for g in package.manifest.golden if g.kind == "score"), None)
    if golden is None or golden.content_type != "application/json":
        return ""
    try:
        text = (package.path / golden.request).read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""
    pasted = len(text.encode()) <= SHORT and text.replace("\n", " ").isprintable() and not text.startswith("@")
    return text if pasted else ""
