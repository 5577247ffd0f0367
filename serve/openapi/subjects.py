"""Subjects: the models of a repository as descriptions need them, with the first row of their golden samples."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.session import zeros

from gantline.errors import GantlineError
from gantline.packages import Package
from gantline.request import Parameter, Request
from gantline.signature import Signature
from gantline.tensors import Array
from gantline.wire.v2 import decode_request

from ..entry import Entry
from ..model import Model
from ..repository import Repository, Slot
from ..standby import Standby
from .operation import Script, Subject

SMALL = 512 << 10  # bytes of a golden request that is worth reading for an example in a document
LARGE = 64 << 20  # bytes of one that is read to be sent
# arrays, parameters that go with them, and whether they are recorded
Sample: TypeAlias = tuple[Mapping[str, Array], Mapping[str, Parameter], bool]
_NOTHING = Signature((), ())
_log = logging.getLogger("gantline.docs")


def served(repository: Repository, models: frozenset[str] | None, name: str = "") -> Iterator[Slot]:
    """The slots of versions that take requests, each model's best first. `models`: no others; `name`: this one only."""
    for one in [name] if name else repository.names():
        if models is not None and one not in models:
            continue
        slots = [s for s in repository.slots(one) if s.model is not None or repository.stands_by(s)]
        try:
            best: Model | None = repository.find(one)
        except Standby:
            best = None
        except GantlineError:
            continue
        yield from sorted(slots, key=lambda s: s.model is not best)


def subject_of(entry: Entry, model: Model | None, largest: int = SMALL) -> Subject:
    """One version as it is, or, not loaded, as its package says. Reads a golden request of up to `largest` bytes."""
    package = entry.package
    signature = model.signature if model is not None else package and package.manifest.signature
    signature = signature or _NOTHING
    script = None if model is None else _script(model, largest)
    if script is not None and script.body:  # a tensor of texts holds a body each: see script.engine
        body = np.array([script.body.encode()], object)
        sample: Sample = {signature.inputs[0].name: body}, {}, True
    else:
        sample = _sample(package, signature, largest)
    return Subject(entry.name, entry.version, signature, *sample, script)


def _sample(package: Package | None, signature: Signature, largest: int) -> Sample:
    found = _recorded(package, signature, largest)
    if found is not None:
        first = {n: a[:1] for n, a in found.inputs.items()} if signature.batched else found.inputs
        alone = {"sequence_start": True, "sequence_end": True} if "sequence_id" in (found.parameters or {}) else {}
        told = {k: v for k, v in (found.parameters or {}).items() if k != "binary_data_output"}
        return first, told | alone, True
    specs = [t for t in signature.inputs if not t.optional]
    if sum(8 * prod(max(d, 1) for d in t.shape) for t in specs) > largest:
        return {}, {}, False
    return {t.name: zeros(t, 1) for t in specs}, {}, False


def _recorded(package: Package | None, signature: Signature, largest: int) -> Request | None:
    if package is None:
        return None
    for golden in package.manifest.golden:
        if golden.kind == "score":
            continue
        body = _read(package.path / golden.request, largest)
        if body is None:
            return None
        try:
            request = decode_request(body, golden.request_header or None)
            signature.check(package.name, request.inputs)
        except GantlineError as e:  # a configuration may have given the model another face
            _log.debug("%s: no example: %s", package.path / golden.request, e)
            return None
        return request
    return None


def _script(model: Model, largest: int) -> Script | None:
    engine = model.session.program
    if not isinstance(engine, ScriptEngine) or model.scores is None:
        return None
    info = engine.crew.info
    # what an undecorated script takes is its own affair
    declared = info["mode"] == "schema"
    takes, gives = (info["schema"][side] if declared else {} for side in ("input", "output"))
    package = model.session.package
    for golden in package.manifest.golden:
        body = _read(package.path / golden.request, largest) if golden.kind == "score" else None
        if body is not None:
            return Script(takes, gives, body.decode("utf-8", "replace"), golden.content_type)
    return Script(takes, gives, json.dumps(takes["example"]) if "example" in takes else "")


def _read(path: Path, largest: int) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= largest else None
    except OSError:
        return None


def told(entry: Entry, model: Model | None, lineage: bool) -> dict[str, Any]:
    """What a package says of itself, in short. `lineage`: where it came from, too."""
    package = entry.package
    if package is None:
        return {}
    manifest = package.manifest
    out: dict[str, Any] = {"digest": package.digest, "engine": manifest.engine, "notes": list(manifest.notes)}
    if manifest.engine_reason:
        out["engine_reason"] = manifest.engine_reason
    if manifest.source is not None:
        out["source"] = {"framework": manifest.source.framework, "type": manifest.source.type}
    if manifest.parity is not None:
        parity = manifest.parity
        out["parity"] = {
            "sample": parity.sample,
            "rows": parity.rows,
            "max_abs_error": parity.max_abs_error,
            "max_rel_error": parity.max_rel_error,
            "label_flips": parity.label_flips,
            "loosened": list(parity.loosened),
        }
    if model is not None and model.stacked:
        out["max_rows"] = model.max_rows
    if lineage:
        try:
            out["lineage"] = package.lineage()
        except GantlineError:
            out["lineage"] = {}
    return out
