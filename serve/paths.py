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


def v1(name: str, version: str) -> list[bytes]:
    """The same of TensorFlow Serving and KServe V1."""
    within = f"/versions/{version}" if version else ""
    return [f"/v1/models/{quote(name)}{within}:predict".encode()]


def v1_model(path: bytes) -> tuple[str, str]:
    """The model and version that a path of V1 means, whatever is asked of it. NotFound for one that is none."""
    parts = split(path)
    if parts[:2] == ["v1", "models"] and len(parts) in (3, 5):
        last, colon, _ = parts[-1].rpartition(":")
        if colon and len(parts) == 3:
            return last, ""
        if colon and parts[3] == "versions" and last.isascii() and last.isdigit():
            return parts[2], last
        if colon and parts[3] == "labels":
            raise NotFound(f"model '{parts[2]}' has no label '{last}': labels are not assigned here; name a version")
    raise NotFound("Not Found")


def split(path: bytes) -> list[str]:
    """A raw path's segments, unquoted one by one: a quoted slash belongs to a name."""
    return [unquote(p) for p in path.decode("ascii", "replace").strip("/").split("/")]


def is_scoring(path: bytes) -> bool:
    """Whether errors at a raw path are told as MLflow tells them."""
    return path in (b"/invocations", b"/ping", b"/version") or (
        path.startswith(b"/models/") and path.endswith(b"/invoke")
    )


def is_azure(path: bytes) -> bool:
    """Whether errors at a raw path are told as Azure's server tells them."""
    return path.startswith((b"/score", b"/swagger.json", b"/models/")) and not is_scoring(path)
