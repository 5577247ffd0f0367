"""What the verbs about the registry share: which registry, labels as k=v, and how versions are shown."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..registry.registry import Registry
    from ..registry.version import Version


def arguments(parser: argparse.ArgumentParser) -> None:
    """--registry."""
    parser.add_argument(
        "--registry", default="", metavar="DIR|URL",
        help="a directory, or postgresql://USER@HOST/DATABASE (default: GANTLINE_REGISTRY, or this user's own)",
    )  # fmt: skip


def opened(args: argparse.Namespace) -> Registry:
    """The registry that is meant; close it."""
    from ..registry.registry import Registry

    return Registry.open(args.registry or None)


def labels(texts: Iterable[str], flag: str) -> dict[str, str]:
    """`k=v` each."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text}: expected KEY=VALUE")
        found[key] = value
    return found


def wanted(texts: Iterable[str]) -> dict[str, str | None]:
    """`k=v` each, or `k` for any value."""
    pairs = (text.partition("=") for text in texts)
    return {key: value if equals else None for key, equals, value in pairs}


def alias_of(text: str, verb: str) -> tuple[str, str]:
    """NAME@ALIAS, taken apart."""
    from ..registry.reference import Reference

    reference = Reference.parse(text)
    if not reference.alias:
        raise UsageError(f"{verb} {text}: expected NAME@ALIAS")
    return reference.name, reference.alias


def rows(version: Version) -> list[tuple[str, str]]:
    """What a person sees of a version, beside its package."""
    from ..registry.moment import shown

    out = [("version", version.id), ("registered", f"{shown(version.registered)[:19]}Z by {version.who}")]
    out += [("alias", alias) for alias in version.aliases]
    out += [("tag", f"{k}={v}") for k, v in version.tags.items()]
    out += [("property", f"{k}={v}") for k, v in version.properties.items()]
    if version.run:
        out.append(("run", version.run))
    for key in ("experiment", "status", "git_commit", "tracking"):
        if version.training.get(key):
            out.append((key.replace("_", " "), str(version.training[key])))
    out += [("parameter", f"{k}={v}") for k, v in sorted(version.training.get("params", {}).items())]
    out += [("metric", f"{k}={v}") for k, v in sorted(version.training.get("metrics", {}).items())]
    out += [("data", f"{d.get('name')} {d.get('digest')}") for d in version.training.get("datasets", ())]
    return out + ([("parent", version.parent)] if version.parent else [])
