"""`gantline config`: every setting of the server, and where its value comes from."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from ..exits import OK
from ..setting import settings_of
from ..settings import ModelSettings, Resolved, ServeSettings, add_arguments, flags_of, resolve


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `gantline serve`, so that what they would do can be seen first."""
    parser.add_argument("--explain", action="store_true", help="say where each value comes from")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_arguments(parser, ServeSettings)


def run(args: argparse.Namespace) -> int:
    """Print the settings as lines of a gantline.toml, or as JSON with origins."""
    resolved = resolve(ServeSettings, flags_of(args, ServeSettings), os.environ, args.config)
    models = {name: resolved.model(name) for name in resolved.models}
    if args.json:
        tree: dict[str, Any] = {"serve": _tree(resolved), "model": {name: _tree(m) for name, m in models.items()}}
        sys.stdout.write(json.dumps(tree, indent=2) + "\n")
        return OK
    _print("serve", resolved, ServeSettings, args.explain)
    for name, model in models.items():
        _print(f"model.{name}" if "." not in name else f'model."{name}"', model, ModelSettings, args.explain)
    return OK


def _tree(resolved: Resolved[Any]) -> dict[str, Any]:
    values = asdict(resolved.settings)
    return {name: {"value": value, "from": resolved.origins[name]} for name, value in values.items()}


def _print(title: str, resolved: Resolved[Any], kind: Any, explain: bool) -> None:
    lines = []
    for name, one in settings_of(kind).items():
        shown = one.show(getattr(resolved.settings, name))
        text = json.dumps(shown) if isinstance(one.default, str) or shown.endswith("B") else shown
        lines.append((f"{name} = {text}", resolved.origins[name]))
    width = max(len(line) for line, _ in lines)
    sys.stdout.write(f"[{title}]\n")
    for line, origin in lines:
        sys.stdout.write(f"{line:{width}}  # {origin}\n" if explain else f"{line}\n")
