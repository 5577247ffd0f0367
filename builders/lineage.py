"""Lineage: where a package came from. It is kept beside the content, so that it does not change the digest."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gantline import __version__
from gantline.blobs import canonical_json, sha256_bytes, sha256_file

from .source import Source


@dataclass(frozen=True, slots=True)
class Told:
    """What only the user knows of a model's making."""

    label: str = ""
    run: str = ""
    dataset: str = ""


def lineage_of(source: Source, told: Told) -> dict[str, Any]:
    """All that is known: source and its digest, git commit of the current directory, when, by which Gantline."""
    out: dict[str, Any] = {"created": _now(), "gantline": __version__}
    if source.path is not None:
        out["source"] = source.path.name
        out["source_digest"] = digest_of(source.path)
    elif source.reference:
        out["source"] = source.reference
    elif source.object is not None:
        out["source"] = f"{type(source.object).__module__}.{type(source.object).__qualname__} in memory"
    if source.script is not None:
        out["script"] = source.script.name
    out |= {k: v for k, v in (("label", told.label), ("run", told.run), ("dataset", told.dataset)) if v}
    return out | _git()


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file; of a directory, of the list of its files' paths and digests."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return sha256_bytes(canonical_json([[p.relative_to(path).as_posix(), sha256_file(p)] for p in files]))


def _now() -> str:
    # reproducible builds set SOURCE_DATE_EPOCH: https://reproducible-builds.org/specs/source-date-epoch/
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _git() -> dict[str, Any]:
    commit = _ask("rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _ask("status", "--porcelain", "--untracked-files=no")
    out: dict[str, Any] = {"git_commit": commit, "git_dirty": bool(changed)}
    remote = _ask("config", "--get", "remote.origin.url")
    return out | ({"git_remote": public_url(remote)} if remote else {})


def public_url(url: str) -> str:
    """A repository's address without the password or token that it may carry."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _ask(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
