"""Recorded: what was written for a platform, as an endpoint on record, so that `gantline endpoint` knows it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gantline.builders.engine.record import Deployed, Record, Records, now

from gantline.errors import GantlineError
from gantline.oci.store import Store

from . import program
from .compose_place import KIND as COMPOSE
from .description import Deployment, Endpoint
from .facts import Facts, facts
from .single import SECRETS


def record(endpoint: Endpoint, target: str, path: Path, first: Path, store: Store, words: Sequence[str] = ()) -> Record:
    """`path`: what was written, `first`: its first file, `words`: by which it is written again."""
    main = max(endpoint.deployments, key=lambda d: d.traffic)
    known = {d.name: facts(d.image.name, store) for d in endpoint.deployments}
    where, keys, details = _compose(endpoint, main, first) if target == COMPOSE else _cluster(endpoint, main, target)
    details |= {"path": str(path.absolute()), "words": list(words)}
    deployed = tuple(_deployed(d, known[d.name]) for d in endpoint.deployments)
    model = known[main.name].model or endpoint.name
    return Record(endpoint.name, target, where, model, deployed, keys=keys, created=now(), details=details)


def put(made: Record) -> str:
    """Keep it, unless the name is one of something else: then a line that says so, and what is to be done."""
    records = Records.of_user()
    try:
        with records.claim(made.name):
            there = records.find(made.name)
            if there is not None and _same(there, made):
                there = None
            if there is None:
                records.put(made)
                return ""
    except GantlineError as e:  # what is written stands all the same
        return f"endpoint {made.name}: written, and `gantline endpoint` does not know of it: {e.message}"
    return (
        f"endpoint {made.name}: `gantline endpoint` acts on the one of that name that it knows ({there.place} "
        f"{there.where}".rstrip()
        + (f", namespace {space}" if (space := there.details.get("namespace")) else "")
        + f"), and not on this one: give it another name, or `gantline endpoint delete {made.name}` (--forget) first"
    )


def _same(there: Record, made: Record) -> bool:
    """A context or namespace that was not known then is the one that is now."""
    spaces = (there.details.get("namespace") or "", made.details.get("namespace") or "")
    return there.place == made.place and there.where in ("", made.where) and spaces[0] in ("", spaces[1])


def _deployed(one: Deployment, known: Facts) -> Deployed:
    return Deployed(one.name, one.image.name, known.image_id, known.package, one.traffic)


def _compose(endpoint: Endpoint, main: Deployment, first: Path) -> tuple[str, str, dict[str, Any]]:
    file = first.absolute()
    keys = str(file.parent / SECRETS / main.keys.secret / main.keys.key) if main.keys else ""
    secrets = sorted({name for one in endpoint.deployments for name in one.secrets})
    return str(file), keys, {"service": main.name, "port": endpoint.port, "secrets": secrets}


def _cluster(endpoint: Endpoint, main: Deployment, target: str) -> tuple[str, str, dict[str, Any]]:
    keys = f"{main.keys.secret}:{main.keys.key}" if main.keys else ""
    where = program.context()
    details = {
        "namespace": endpoint.site.namespace or _namespace(endpoint.name, target, where),
        "routed": bool(endpoint.site.gateway),
        "object": f"{endpoint.name}-{main.name}",
        "selector": f"app.kubernetes.io/instance={endpoint.name}-{main.name}",
        "service": f"serving.kserve.io/inferenceservice={endpoint.name}",
        "owned": f"app.kubernetes.io/name={endpoint.name},app.kubernetes.io/managed-by=gantline",
    }
    return where, keys, details


def _namespace(name: str, target: str, where: str) -> str:
    """Of an endpoint that is there already the one in which it is, whichever is current now."""
    with suppress(GantlineError):
        there = Records.of_user().find(name)
        if there is not None and (there.place, there.where) == (target, where):
            return there.details.get("namespace") or program.namespace(where)
    return program.namespace(where)
