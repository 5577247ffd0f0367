"""Forwarding: the port of this machine at which `kubectl port-forward` reaches a pod, by what it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gantline.errors import Unavailable

_FORWARDED = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) -> ")


def forwarded(lines: Iterable[bytes], what: str) -> str:
    """The URL. Unavailable with its last words."""
    said = b""
    try:
        for said in lines:
            if found := _FORWARDED.search(said):
                return f"http://127.0.0.1:{int(found[1])}"
    except Unavailable as e:
        told = said.decode("utf-8", "replace").strip()
        raise Unavailable(f"{what}: {e.message}: {told:.300}") from e
    raise Unavailable(f"{what}: kubectl forwarded no port")
