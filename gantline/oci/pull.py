"""Pull: an image or an artifact out of a repository into a store: what is not there, in parallel, each blob checked."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from ..errors import BadArtefact, GantlineError, NotFound, Unavailable, VerificationFailed
from .connections import Cut
from .descriptor import INDEXES, MANIFESTS, Descriptor
from .graph import DEEPEST, Graph, is_kept, parts
from .image import images_in, serving
from .lease import in_use
from .origins import Origins
from .parallel import JOBS, in_parallel
from .partial import Waited, going_on, kept, sweep
from .patience import PASSING, retry_after
from .platforms import Platform
from .progress import DONE, THERE, WAITING, Ledger, Told
from .reference import Reference
from .referrers import attach
from .remote import Remote
from .store import Incoming, Store, json_object

_MOST = 1000  # manifests under one name
_ROOM = 64 << 20  # bytes of the disk that are left free


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did. `new` and `reused` are bytes of blobs and manifests, `wire` what was received of blobs."""

    reference: Reference
    descriptor: Descriptor
    new: int
    reused: int
    wire: int
    referrers: int


def pull(
    remote: Remote,
    reference: Reference,
    store: Store,
    platform: Platform | None = None,
    told: Told = lambda step: None,
    jobs: int = JOBS,
    name: str = "",
) -> Pulled:
    """Get it, and let `name` (else the reference's own) stand for it in the store.

    Of an index, `platform` chooses one image; None takes all, with what is attested of them. NotFound, Unreachable,
    Denied, VerificationFailed, Unavailable (a full disk, too): nothing is named then; whole blobs are kept, and for a
    day what has come of others.
    """
    with in_use(store):
        return _pull(remote, reference, store, platform, told, jobs, name)


def _pull(
    remote: Remote, reference: Reference, store: Store, platform: Platform | None, told: Told, jobs: int, name: str
) -> Pulled:
    root, data = remote.manifest(reference.target)
    if root.media_type in INDEXES and platform is not None:
        where = str(reference)
        listed = list(images_in(json_object(data, where), where, lambda d: json_object(_manifest(remote, d)[1], where)))
        chosen = serving(listed, platform, str(reference))
        root, data = _manifest(remote, chosen)
    plan = Graph()
    _add(remote, root, data, plan, 0)
    about = _add_referrers(remote, plan)
    ledger = Ledger(told)
    missing = [blob for blob in plan.blobs.values() if not store.holds(blob)]  # whole ones of an earlier try count
    sweep(store)
    _check_room(store, sum(max(0, blob.size - kept(store, blob.digest)) for blob in missing))
    for blob in plan.blobs.values():
        if store.has(blob.digest):
            ledger.end(blob, THERE)
        else:
            ledger.at(blob, 0, WAITING)
    origins = Origins(store)
    tasks = [partial(_get, remote, blob, store, origins, ledger) for blob in sorted(missing, key=lambda b: -b.size)]
    in_parallel(jobs, tasks, remote.transport.stop)
    for descriptor, bytes_ in plan.manifests.values():
        ledger.end(descriptor, THERE if store.has(descriptor.digest) else DONE)
        store.add(bytes_, descriptor.media_type)
    for subject, referrer in about:
        attach(store, subject, referrer)
    store.name(name or str(reference), root)
    return Pulled(reference, root, ledger.sum(DONE), ledger.sum(THERE), ledger.wire, len(about))


def _manifest(remote: Remote, listed: Descriptor) -> tuple[Descriptor, bytes]:
    """What a descriptor points at, with what the descriptor says of it."""
    found, data = remote.manifest(listed.digest)
    return replace(listed, media_type=found.media_type, size=found.size), data


def _add(remote: Remote, descriptor: Descriptor, data: bytes, plan: Graph, depth: int) -> None:
    """Add a manifest and what is below it; of an index, other manifests are got."""
    if descriptor.digest in plan.manifests:
        return
    where = f"{remote.name}@{descriptor.digest}"
    children, blobs = parts(descriptor, data, where)
    if (children and depth >= DEEPEST) or len(plan.manifests) >= _MOST:
        raise BadArtefact(f"{where}: more than {_MOST} manifests under one name, or {DEEPEST} indexes in one another")
    for child in children:
        if child.media_type not in (*INDEXES, *MANIFESTS):
            raise BadArtefact(f"{where}: an index lists {child.media_type!r:.100}, which is no manifest")
        _add(remote, *_manifest(remote, child), plan, depth + 1)
    plan.blobs.update((blob.digest, blob) for blob in blobs if is_kept(blob))
    plan.manifests[descriptor.digest] = (descriptor, data)


def _add_referrers(remote: Remote, plan: Graph) -> list[tuple[str, Descriptor]]:
    """Add what is about any of the manifests (signatures, provenance), and about those: subjects and referrers."""
    about: list[tuple[str, Descriptor]] = []
    asked: set[str] = set()
    while unasked := [digest for digest in plan.manifests if digest not in asked]:
        for digest in unasked:
            asked.add(digest)
            for listed in remote.referrers(digest):
                try:
                    descriptor, data = _manifest(remote, listed)
                except NotFound:
                    continue  # deleted, where nobody has told the list: no reason to do without the image
                _add(remote, descriptor, data, plan, 0)
                about.append((digest, descriptor))
    return about


def _check_room(store: Store, needed: int) -> None:
    free = shutil.disk_usage(store.root).free
    if needed and needed + _ROOM > free:
        raise Unavailable(
            f"{store.root}: {needed >> 20} MiB to get, and {free >> 20} MiB free on its disk; free some, or set "
            "GANTLINE_HOME to another"
        )


def _get(remote: Remote, blob: Descriptor, store: Store, origins: Origins, ledger: Ledger) -> None:
    received = 0

    def moved(count: int, at: int) -> None:
        nonlocal received
        received += count
        ledger.at(blob, at)

    try:
        with going_on(store, blob.digest, remote.transport.rest) as out:
            left = out.size
            if left > blob.size:
                out.restart()
            fetch(remote, blob, out, moved)
            if left and out.digest != blob.digest:  # of a disk that lost power, say
                out.restart()
                fetch(remote, blob, out, moved)
            if out.digest != blob.digest:
                raise VerificationFailed(
                    f"{remote.name}: blob {blob.digest} came as {out.digest}: the registry, or a proxy, changed it; "
                    "nothing was kept"
                )
    except Waited:
        ledger.end(blob, THERE)
        return
    origins.add(blob.digest, remote.transport.host, remote.repository)
    ledger.end(blob, DONE, received)


def fetch(
    remote: Remote, blob: Descriptor, out: Incoming, moved: Callable[[int, int], None] = lambda count, at: None
) -> None:
    """Write a blob's bytes, going on from where it was cut. `moved` gets how many came, and where it stands."""
    failures = furthest = 0
    while out.size < blob.size:
        error: GantlineError
        asked = None
        try:
            with remote.blob(blob, out.size) as (found, start):
                if start < 0 and found.status not in PASSING:
                    raise remote.transport.refusal(found, f"cannot get blob {blob.digest} of {remote.name}")
                if start < 0:
                    error = remote.transport.passing(found)
                    asked = retry_after(found.headers.get("Retry-After"), time.time())
                else:
                    _take(found.pieces(), start, blob, out, moved)
                    error = remote.transport.unreachable(
                        Cut(f"ended blob {blob.digest} at {out.size} of {blob.size} bytes")
                    )
        except Cut as e:
            error = remote.transport.unreachable(e)
            if e.trust:
                raise error from e
        if out.size < blob.size:
            failures = 1 if out.size > furthest else failures + 1
            furthest = out.size
            remote.transport.pause(failures, asked, error)


def _take(
    pieces: Iterable[memoryview], start: int, blob: Descriptor, out: Incoming, moved: Callable[[int, int], None]
) -> None:
    """Write what comes from byte `start` on; what is there already is left out."""
    at = start
    if at > out.size:
        raise BadArtefact(f"blob {blob.digest}: asked for from byte {out.size}, sent from {at}")
    for piece in pieces:
        fresh = piece[max(0, out.size - at) :]
        at += len(piece)
        if out.size + len(fresh) > blob.size:
            raise VerificationFailed(f"blob {blob.digest}: longer than the {blob.size} bytes that its manifest says")
        out.write(fresh)
        moved(len(piece), out.size)
