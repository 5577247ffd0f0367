"""Opening: from an entry to a session that has proved itself: files hashed, golden samples replayed, warmed up."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter

from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.independence import presumably_independent
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.accelerators.triton.configured import Configured, is_own, open_session
from gantline.accelerators.triton.model_settings import said_of
from gantline.accelerators.triton.warmup import rehearse
from gantline.accelerators.warming import warm_up

from gantline.errors import BadArtefact, UsageError
from gantline.setting import settings_of, unknown
from gantline.settings import ModelSettings, Resolved, ServeSettings

from .attendance import Attendance
from .entry import Entry
from .process.cores import cores_each
from .tuning import Tuning, tune

MAX_LOADING = 4  # versions at once: more would gain nothing on the CPU, and each has its model in memory twice
DEFAULT_MAX_ROWS = 64  # for a model file that says nothing and whose rows turn out independent
_log = logging.getLogger("gantline.loader")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that may take requests, and how they are to wait for it."""

    session: Session
    tuning: Tuning
    attendance: Attendance


def open_version(entry: Entry, resolved: Resolved[ServeSettings], common: Path | None = None) -> Opened:
    """Blocks. GantlineError says why this version must not serve; then nothing is left open.

    `common`: a folder of all workers, when there are several.
    """
    if entry.package is None:
        raise BadArtefact(entry.problem or f"model '{entry.name}' has no package")
    package, manifest = entry.package, entry.package.manifest
    most = manifest.batching.max_batch_size
    # a package with a config.pbtxt of its own knows better, since it was tried
    said = {**manifest.settings, **({"max_batch_size": most} if most or manifest.config is not None else {})}
    unknown(said, settings_of(ModelSettings), f"{package.path}: settings")
    settings = resolved.model(entry.name, said, said_of(entry.config)).settings
    server = resolved.settings
    if server.no_pickle and manifest.script is not None and manifest.script.pickles:
        raise UsageError(
            f"model '{entry.name}': its script unpickles {manifest.script.pickles[0]}; --no-pickle refuses that"
        )
    attendance = Attendance()
    options = EngineOptions(
        threads=settings.threads, timeout_s=settings.timeout_s, memory_limit=settings.memory_limit,
        allow_pickle=not server.no_pickle, cores=max(1, cores_each(server.workers) // settings.instances),
        instances=settings.instances, grace_s=settings.script_grace_s, wanted=attendance.wanted,
        shared=common if settings.script_hosts == "shared" else None,
    )  # fmt: skip
    # the digest that the model's metadata tells must be that of what answers; a pickle is read only after this
    package.verify_listed()
    beside = None if is_own(package, entry.config) else entry.config
    session = open_session(package, options, beside)
    proved = session
    if manifest.golden and beside is not None and isinstance(session.engine, Configured):
        proved = Session(package, session.engine.engine)  # golden samples have the package's shapes
    try:
        replayed = bool(manifest.golden) and not settings.no_replay
        if replayed:
            _replay(entry, proved)
        if entry.config is not None:
            rehearse(session, entry.config)
        if not (replayed and manifest.script is not None and manifest.script.contract == "azure"):
            warm_up(proved)  # an Azure script's is its golden sample, sent once
            session.run_ns = proved.run_ns
        rows = settings.max_batch_size
        known = package.digest is not None or entry.config is not None
        if not rows and not known and presumably_independent(session):
            rows = DEFAULT_MAX_ROWS
    except BaseException:
        session.close()
        raise
    return Opened(session, tune(session, rows, settings, server, entry.config), attendance)


def wanted(settings: ServeSettings, names: Sequence[str]) -> list[str]:
    """Which models are loaded at the start, unless they wait for their first request."""
    if settings.model_control != "explicit" or settings.load_model == "*":
        return list(names)
    return [n for n in names if n in settings.models_to_load]


def prepare(engines: Collection[str]) -> None:
    """Import what the first load of a model would have to: a client waits for that one. Not torch: it takes seconds,
    and 300 MB that may never be needed.
    """
    if "onnx" in engines:
        import_module("gantline.accelerators.onnx")


def _replay(entry: Entry, session: Session) -> None:
    started = perf_counter()
    replayed = replay(session)
    _log.info(
        "model '%s' version %s: %d golden sample%s held, in %.1f ms", entry.name, entry.version, len(replayed),
        "s" * (len(replayed) != 1), 1000 * (perf_counter() - started),
    )  # fmt: skip
