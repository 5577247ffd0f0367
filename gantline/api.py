"""What Python programs call: `gantline.package`. Heavy parts are imported when called."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .packages import Package
from .references import local

if TYPE_CHECKING:
    from gantline.builders.engine.record import Record
    from gantline.builders.engine.running import Running
    from gantline.builders.engine.subject import Subject
    from gantline.builders.image.order import Delivered
    from gantline.builders.lock.pylock import Lock
    from gantline.builders.lock.sources import Sources
    from gantline.builders.source import Limits, Source

    from .manifest import Batching, SequenceInfo
    from .oci.descriptor import Descriptor
    from .oci.platforms import Platform
    from .oci.store import Store
    from .oci.wiring import Wiring
    from .tensors import Array


def package(
    model: Any = None,
    *,
    name: str,
    sample: Any = None,
    script: str | os.PathLike[str] | None = None,
    code: str | os.PathLike[str] | None = None,
    model_dir: str | os.PathLike[str] | None = None,
    env: str | os.PathLike[str] | None = None,
    label: str = "",
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    trust_pickle: bool = False,
    trust: tuple[str, ...] = (),
    module: str = "",
    init: Mapping[str, Any] | None = None,
    signature: str = "",
    rtol: float | None = None,
    allow_flips: int | None = None,
    max_batch_size: int | None = None,
    pad: Mapping[str, float] | None = None,
    pad_mask: str = "",
    unpad: Mapping[str, str] | None = None,
    sequences: Mapping[str, Any] | None = None,
    run: str = "",
    dataset: str = "",
) -> Package:
    """Make a package (`./NAME.pkg`) of a model in memory, a file, a directory with a script, or `pkg.mod:object`.

    `sample` is a path, an array, a table (pandas, polars), or a dict of columns or inputs: rows on which the package
    is compared with the model. A scoring script's is the path of a body that a client sends: it is tried, and kept
    with its answer. `pad` (input -> fill), `pad_mask` (input) and `unpad` (output -> input) let requests of different
    lengths share a batch; that this changes no answer is tried. `sequences` ({"states": {input: output}}, and more as
    in the manifest's SequenceInfo) keeps state in the server. A GantlineError says in one line what is wrong;
    nothing is left then.
    """
    from gantline.builders.lineage import Told
    from gantline.builders.pack import Choices, pack
    from gantline.builders.source import Source

    source = Source(
        name=name,
        **_pointed_at(model),
        trust_pickle=trust_pickle,
        trust=tuple(trust),
        module=module,
        init=dict(init or {}),
        signature=signature,
        **_sampled(sample, model, script),
        script=_path(script),
        code=_path(code),
        model_dir=_path(model_dir),
        environment=_path(env),
        limits=_limits(rtol, allow_flips),
    )
    _check(source)
    target = Path(output) if output is not None else Path(f"{name}.pkg")
    batching = _padded(pad or {}, pad_mask, unpad or {})
    kept = _kept(sequences)
    return pack(source, target, Choices(overwrite, max_batch_size, batching, kept, Told(label, run, dataset)))


def _limits(rtol: float | None, flips: int | None) -> Limits:
    from gantline.builders.source import Limits

    default = Limits()
    return Limits(default.rtol if rtol is None else rtol, default.flips if flips is None else flips)


def _kept(sequences: Mapping[str, Any] | None) -> SequenceInfo | None:
    from .manifest import SequenceInfo

    return SequenceInfo.from_json(sequences, "sequences") if sequences is not None else None


def _padded(pad: Mapping[str, float], mask: str, unpad: Mapping[str, str]) -> Batching:
    from .manifest import Batching

    if (mask or unpad) and not pad:
        raise UsageError("--pad-mask and --unpad say more about --pad: name an input to be padded")
    for name, fill in pad.items():
        if not math.isfinite(fill):
            raise UsageError(f"--pad {name}={fill}: expected a finite number")
    return Batching(pad=dict(pad), pad_mask=mask, unpad=dict(unpad))


def _pointed_at(model: Any) -> dict[str, Any]:
    if model is None:
        return {}
    if isinstance(model, str) and ":" in model and not os.path.exists(model) and "://" not in model:
        return {"reference": model}
    if isinstance(model, str | os.PathLike):
        return {"path": Path(model)}
    return {"object": model}


def _check(source: Source) -> None:
    if source.path is None and source.object is None and not source.reference and source.script is None:
        raise UsageError("nothing to package: give a model, or a scoring script with --script")
    if not source.limits.rtol >= 0 or source.limits.flips < 0:
        raise UsageError("--rtol and --allow-flips must not be negative")


def takes_body(model: Any, script: str | os.PathLike[str] | None) -> bool:
    """Whether a sample is a body for a scoring script, and not rows for a model."""
    if script is not None or not isinstance(model, str | os.PathLike) or not os.path.exists(model):
        return script is not None
    from gantline.builders.source import Source, takes_body

    return takes_body(Source(name="", path=Path(model)))


def _sampled(sample: Any, model: Any, script: str | os.PathLike[str] | None) -> dict[str, Any]:
    if sample is None or not takes_body(model, script):
        return {"sample": _sample(sample)}
    if not isinstance(sample, str | os.PathLike):
        raise UsageError("the sample of a scoring script is the path of a body that a client sends, as a .json file")
    return {"body": Path(sample)}


def _sample(sample: Any) -> dict[str, Array] | None:
    if sample is None:
        return None
    import numpy as np

    from . import samples

    if isinstance(sample, str | os.PathLike):
        return samples.read(Path(sample))
    if hasattr(sample, "columns"):
        return samples.from_frame(sample)
    if isinstance(sample, Mapping):
        return {str(k): np.asarray(v) for k, v in sample.items()}
    return {samples.UNNAMED: np.asarray(sample)}


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


def _minor(python: str) -> tuple[int, int] | None:
    """`3.11` or `3.11.4` as a pair; None where nothing is said."""
    if not python:
        return None
    match = re.fullmatch(r"(\d)\.(\d{1,2})(\.\d+)?", python)
    if match is None:
        raise UsageError(f"--python {python!r:.40}: expected a version such as 3.11")
    return int(match[1]), int(match[2])


def build(
    package: Package | str | os.PathLike[str],
    *,
    tag: str = "",
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    platforms: tuple[str, ...] = (),
    base: str = "",
    python: str = "",
    locks: tuple[str | os.PathLike[str], ...] = (),
    relock: bool = False,
    max_size: str | int = 0,
    check_reproducible: bool = False,
    pull: bool = False,
    apt: tuple[str, ...] = (),
    debian_mirror: str = "",
    allow_missing: tuple[str, ...] = (),
    context: bool = False,
    wiring: Wiring | None = None,
    sign: str | os.PathLike[str] | None = None,
    sources: Sources | None = None,
    registry: str = "",
    record: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> Delivered:
    """Build an image of a package, for each of `platforms` (`linux/amd64`), and give it a name in the store.

    `tag` is NAME:TAG, by default the package's own name and `latest`; `output` a `.tar` (OCI and docker-archive in one)
    or a directory (an OCI image layout; with `context` a Dockerfile and the layers for it). `base` is the image below:
    a reference, a tar of a root file system, an OCI layout; a tag is pinned when it is first used, and `pull` follows
    it again. `max_size` in bytes, compressed, base included. `apt` adds Debian packages, from the base's own archive or
    from `debian_mirror`, to those for libraries that wheels need and the base has not; those of `allow_missing` may be
    absent. A GantlineError says in one line what is wrong; no name stands for a half-built image then. `sign` names an
    Ed25519 private key: the signature goes where the image goes. Package and image are recorded in `registry` (as for
    `Registry.open`), unless `record` is false.
    """
    from gantline.builders.image.order import Order, carry_out, default_base
    from gantline.builders.image.supply import Supplier
    from gantline.builders.lock.sources import configured

    from .oci.platforms import Platform
    from .setting import size_of

    opened = package if isinstance(package, Package) else Package.open(local(os.fspath(package), registry, wiring))
    wanted = tuple(map(Platform.parse, platforms)) or (Platform.of_this_machine(),)
    asked = _minor(python or opened.manifest.environment.python)
    read = _locks(locks)
    most = size_of(max_size, "--max-size") if isinstance(max_size, str) else max_size
    order = Order(
        tag or f"{opened.name.lower()}:latest", tuple(dict.fromkeys(wanted)), base or default_base(asked),
        _path(output), overwrite, asked, most, check_reproducible, pull, context, wiring,
    )  # fmt: skip
    supplier = Supplier(sources or configured(), log, read, relock, apt, debian_mirror, allow_missing)
    done = carry_out(opened, order, supplier, log, _signer(sign, order.tag))
    return _recorded(opened, done, registry) if record else done


def _locks(paths: tuple[str | os.PathLike[str], ...]) -> dict[Platform, Lock]:
    from gantline.builders.lock.pylock import Lock

    read = [Lock.read(Path(path)) for path in paths]
    return {lock.platform: lock for lock in read}


def _signer(key: str | os.PathLike[str] | None, tag: str) -> Callable[[Store, Descriptor], None] | None:
    """Signs what is in a store; the key is read now, before anything is built."""
    if key is None:
        return None
    from gantline.builders.evidence.envelope import private_key
    from gantline.builders.evidence.signature import sign

    secret = private_key(Path(key))

    def run(store: Store, descriptor: Descriptor) -> None:
        sign(store, descriptor, secret, tag)

    return run


def _recorded(package: Package, done: Delivered, registry: str) -> Delivered:
    from .registry.built import record_build

    record_build(package, done, registry)
    return done


def run(
    ref: str | os.PathLike[str],
    *,
    name: str = "",
    port: int = 0,
    grpc_port: int | None = None,
    host: str = "127.0.0.1",
    network: str = "published",
    variables: Mapping[str, str] | None = None,
    memory: str | int = 0,
    keys: bool | str | os.PathLike[str] = False,
    wait_s: float = 60.0,
    engine_url: str = "",
    engine: bool = True,
    base: str = "",
    locks: tuple[str | os.PathLike[str], ...] = (),
    sources: Sources | None = None,
    wiring: Wiring | None = None,
    registry: str = "",
    record: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> Running:
    """Start an image (or a package, which is built first), and wait until it has answered its golden samples.

    It runs in a container engine, or without one (`engine` false, or none answers) in namespaces, and goes on until
    `stop`, or the end of a `with` block. `port` 0: any free one; `grpc_port` None: the next one. `keys`: True makes
    two, a path takes those of a keys file. `base`, `locks`, `sources`, `wiring`, `registry`, `record` as for `build`. A
    GantlineError says in one line what is wrong; nothing runs then.
    """
    from gantline.builders.engine.container_place import ContainerPlace
    from gantline.builders.engine.engine import find
    from gantline.builders.engine.process_place import ProcessPlace
    from gantline.builders.engine.running import Running
    from gantline.builders.engine.start import Starting, start
    from gantline.builders.engine.wish import Wish, beside, model

    from .endpoint_keys import maker
    from .oci.lease import in_use
    from .oci.platforms import Platform
    from .oci.store import Store
    from .setting import size_of

    if network not in ("published", "host"):
        raise UsageError(f"network {network!r:.40}: expected published or host")
    bring = bringing(base, locks, sources, wiring, registry, log)
    found = find(engine_url) if engine else None
    place: Starting = ContainerPlace(engine=found) if found is not None else ProcessPlace()
    with closing(place), in_use(Store.of_user()):
        what = bring(os.fspath(ref), found.platform if found is not None else Platform.of_this_machine())
        grpc = grpc_port if grpc_port is not None else beside(port)
        size = size_of(memory, "--memory") if isinstance(memory, str) else memory
        wish = Wish(
            name or model(what.image), port, grpc, host, network == "host", dict(variables or {}), memory=size
        )  # fmt: skip
        running = Running(start(place, what, wish, wait_s, log, maker(keys)), bring, noting(registry, log))
    if record:
        running.note()
    return running


def noting(registry: str, log: Callable[[str], None]) -> Callable[[Record, bool], None]:
    """What tells a registry that an endpoint runs what is on its record, or does not any more."""

    def note(record: Record, runs: bool) -> None:
        from .registry.deployed import Deployments

        told = Deployments(registry, log)
        told.run(record) if runs else told.ended(record)

    return note


def bringing(
    base: str,
    locks: tuple[str | os.PathLike[str], ...],
    sources: Sources | None,
    wiring: Wiring | None,
    registry: str,
    log: Callable[[str], None],
) -> Callable[[str, Platform], Subject]:
    """What brings an image into this user's store, and builds a package first, as `run` was told."""
    from gantline.builders.engine.subject import subject

    from .oci.store import Store

    def built(ref: str, platform: Platform) -> tuple[str, Descriptor]:
        done = build(
            ref, platforms=(str(platform),), base=base, locks=locks, sources=sources, wiring=wiring, registry=registry,
            log=log,
        )  # fmt: skip
        return done.tag, done.descriptor

    return lambda ref, platform: subject(ref, platform, Store.of_user(), built, wiring)
