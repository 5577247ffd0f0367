"""Handover: resolved settings as JSON, so that every worker, first or later, works by the same ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gantline.settings import Layer, Resolved, ServeSettings


def to_json(resolved: Resolved[ServeSettings]) -> dict[str, Any]:
    """What `from_json` takes; every value of a setting is JSON."""
    layers = [
        {"where": one.where, "values": dict(one.values), "folder": one.folder and str(one.folder)}
        for one in resolved.layers
    ]
    return {
        "settings": asdict(resolved.settings),
        "origins": resolved.origins,
        "models": resolved.models,
        "layers": layers,
        "file": resolved.file,
    }


def from_json(tree: dict[str, Any]) -> Resolved[ServeSettings]:
    """The same settings again."""
    layers = (
        Layer(one["where"], one["values"], Path(one["folder"]) if one["folder"] else None) for one in tree["layers"]
    )
    return Resolved(ServeSettings(**tree["settings"]), tree["origins"], tree["models"], tuple(layers), tree["file"])
