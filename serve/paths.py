"""Paths: the raw paths of each face's infer requests: those that mean a version, and the version that one means. Pure.

A version of "" is none: the model's default.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from gantline.errors import NotFound


def v2(name: str, version: str) -> list[bytes]:
    """V2's paths that mean a version."""
    within = f"/versions/{version}" if version else ""
    return [f"/v2/models/{quote(name)}{within}/infer".encode()]


def v2_model(path: bytes) -> tuple[str, str]:
    """The model and version that a path of V2 means. NotFound for a path that is none."""
    parts = split(path)
    if len(parts) == 4 and parts[:2] == ["v2", "models"]:
        return parts[2], ""
    if len(parts) == 6 and parts[:2] == ["v2", "models"] and parts[3] == "versions":
        return parts[2], parts[4]
    raise NotFound("Not Found")


def split(path: bytes) -> list[str]:
    """A raw path's segments, unquoted one by one: a quoted slash belongs to a name."""
    return [unquote(p) for p in path.decode("ascii", "replace").strip("/").split("/")]
