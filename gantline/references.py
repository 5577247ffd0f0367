"""REFs: what the verbs take as their artefact, resolved to a path on this machine by one function."""

from __future__ import annotations

from pathlib import Path

REGISTRY = "registry://"


def is_registered(ref: str) -> bool:
    """Whether a REF names a version of a registry."""
    return ref.startswith(REGISTRY)


def local(ref: str, registry: str = "") -> Path:
    """Where a REF's package lies; one of a registry is brought here, hashed, and in use until this process ends.

    `registry`: a directory or URL; empty: GANTLINE_REGISTRY, or this user's own. NotFound says what there is instead.
    """
    if not is_registered(ref):
        return Path(ref)
    from .registry.registry import Registry

    with Registry.open(registry or None) as opened:
        return opened.path(ref)


def served(ref: str, registry: str = "") -> str:
    """A REF as a server takes it: of a registry's version, the directory whose one numbered package it is."""
    return str(local(ref, registry).parent) if is_registered(ref) else ref
