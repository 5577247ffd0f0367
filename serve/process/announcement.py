"""Announcement: what the operator is told: progress, then where the server listens and a curl line that works."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote

from gantline.errors import BadArtefact
from gantline.settings import ServeSettings

if TYPE_CHECKING:
    from gantline.packages import Package

    from ..app import Stack
    from ..repository import Slot

SHORT = 600  # bytes of a body that is printed
STANDBY = "STANDBY"  # the state of a model that its first request loads


class Report(TypedDict):
    """What one process has loaded, as JSON: a worker sends it to its supervisor."""

    models: list[dict[str, str]]  # name, version, state
    failed: list[dict[str, str]]  # name, version, reason
    attempt: str  # a line that works when pasted


class Announcement:
    """Words for whoever started the server."""

    def __init__(self, settings: ServeSettings, port: int, as_json: bool, grpc_port: int = 0) -> None:
        """`grpc_port` 0: there is none of its own."""
        self.settings = settings
        self.port = port
        self.grpc_port = grpc_port
        self.as_json = as_json

    @property
    def url(self) -> str:
        return f"{'https' if self.settings.tls_certificate else 'http'}://{self._address(self.port)}"

    @property
    def grpc(self) -> str:
        """host:port, as gRPC clients take it; empty without gRPC."""
        port = self.port if self.settings.front == "h2" and not self.settings.no_grpc else self.grpc_port
        return self._address(port) if port else ""

    def _address(self, port: int) -> str:
        host = self.settings.host if self.settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
        return f"{f'[{host}]' if ':' in host else host}:{port}"

    def progress(self, done: int, total: int, slot: Slot) -> None:
        if not self.as_json and total > 20 and sys.stderr.isatty():
            sys.stderr.write(f"\rloading {done}/{total} {slot.entry.name:<40.40}" + ("\n" if done == total else ""))
            sys.stderr.flush()

    def ready(self, report: Report) -> None:
        """The server is ready."""
        if self.as_json:
            told = {"url": self.url} | ({"grpc": self.grpc} if self.grpc else {})
            tree = {**told, "models": report["models"], "failed": report["failed"]}
            sys.stdout.write(json.dumps(tree) + "\n")
        else:
            sys.stdout.write("\n".join(self._lines(report)) + "\n")
        sys.stdout.flush()

    def _lines(self, report: Report) -> list[str]:
        models, failed = report["models"], report["failed"]
        also = f" (gRPC: {self.grpc})" if self.grpc else ""
        lines = [f"Gantline listens on {self.url}{also} with {len(models)} model{'s' * (len(models) != 1)} ready:"]
        if cold := sum(m["state"] == STANDBY for m in models):
            lines.append(f"  {cold} of them to be loaded by their first request")
        lines += [f"  {m['name']}:{m['version']}" for m in models[:10]]
        lines += [f"  and {len(models) - 10} more"] * (len(models) > 10)
        lines += [f"  NOT SERVED {m['name']}:{m['version']}: {m['reason']}" for m in failed[:10]]
        return [*lines, "Try:", "  " + report["attempt"]]


def report(stack: Stack, failed: list[Slot], url: str) -> Report:
    """What is served and what is not.

    BadArtefact when it is nothing and none can come later: a server without a model helps nobody.
    """
    repository = stack.repository
    there = [s for s in repository.slots() if s.model is not None or repository.stands_by(s)]
    if not there and stack.settings.model_control not in ("explicit", "poll"):
        raise BadArtefact("; ".join(s.reason for s in failed[:3]) or "no model could be loaded")
    return {
        "models": [
            {"name": s.entry.name, "version": s.entry.version, "state": s.state if s.model is not None else STANDBY}
            for s in there
        ],
        "failed": [{"name": s.entry.name, "version": s.entry.version, "reason": s.reason} for s in failed],
        "attempt": _curl(url, stack),
    }


def _state(slot: Slot) -> str:
    return STANDBY if slot.model is None else slot.state


def _curl(url: str, stack: Stack) -> str:
    """A line that works when pasted: an infer of a known input, or what describes a script that takes anything."""
    from gantline.accelerators.warming import example

    from gantline.request import Request
    from gantline.wire.v2 import encode_request

    curl = "curl -s" if stack.access is None else 'curl -s -H "x-api-key: $GANTLINE_KEY"'
    models = [s.model for s in stack.repository.slots() if s.model is not None]
    if not models:
        names = [s.entry.name for s in stack.repository.slots() if stack.repository.stands_by(s)]
        if names:
            return f"{curl} {url}/v2/models/{quote(names[0])}"
        return f"curl -s -X POST {url}/v2/repository/index"
    default = stack.repository.default_model()
    for model in models:
        script = model.session.package.manifest.script
        if script is not None and script.contract == "azure":
            if text := _short_sample(model.session.package):
                path = "/score" if model is default else f"/models/{quote(model.name)}/score"
                return f"{curl} {url}{path} -H 'content-type: application/json' -d {shlex.quote(text)}"
            continue
        if model.session.decoupled:
            continue  # what it makes of made-up inputs is its own affair
        body, _ = encode_request(Request(example(model.session)), binary=False)
        if len(body) <= SHORT:
            return f"{curl} {url}/v2/models/{quote(model.name)}/infer -d {shlex.quote(body.decode())}"
    script = models[0].session.package.manifest.script
    if script is not None and script.contract == "azure":
        return f"{curl} {url}/models/{quote(models[0].name)}/swagger.json"
    return f"{curl} {url}/v2/models/{quote(models[0].name)}"


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
