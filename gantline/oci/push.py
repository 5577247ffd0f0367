"""Push: what a store has under a digest, into a repository: blobs in parallel, then manifests, children first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..errors import UsageError, VerificationFailed
from .descriptor import INDEX, Descriptor
from .graph import Graph
from .origins import Origins
from .parallel import JOBS, in_parallel
from .progress import DONE, MOUNTED, THERE, WAITING, Ledger, Told
from .reference import Reference
from .referrers import gather, listing
from .remote import Remote, stand_in
from .store import Store
from .unfinished import sweep, unfinished
from .upload import CHUNK, Upload


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did. `new`, `reused` and `mounted`: bytes of blobs and manifests; `wire`: what was sent of blobs."""

    reference: Reference
    digest: str
    new: int
    reused: int
    mounted: int
    wire: int
    manifests: int


def push(
    store: Store,
    descriptor: Descriptor,
    remote: Remote,
    reference: Reference,
    told: Told = lambda step: None,
    jobs: int = JOBS,
    chunk: int = CHUNK,
) -> Pushed:
    """Send what is not there yet, then let the tag stand for it. UsageError for a digest that is not its own."""
    if reference.digest and reference.digest != descriptor.digest:
        raise UsageError(f"{reference}: cannot be pushed: what is here has the digest {descriptor.digest}")
    ledger = Ledger(told)
    graph, about = gather(store, descriptor)
    blobs = dict(graph.blobs)
    if remote.find(descriptor.digest) is not None:  # a registry takes no manifest whose blobs it does not have
        for digest, blob in graph.blobs_below(descriptor.digest).items():
            ledger.end(blob, THERE)
            del blobs[digest]
    origins = Origins(store)
    for blob in blobs.values():
        ledger.at(blob, 0, WAITING)
    largest_first = sorted(blobs.values(), key=lambda b: -b.size)
    tasks = [partial(_send, store, blob, remote, origins, ledger, chunk) for blob in largest_first]
    sweep(store)
    in_parallel(jobs, tasks, remote.transport.stop)
    written = _write_manifests(graph, about, remote, reference, descriptor.digest, ledger)
    return Pushed(
        reference, descriptor.digest, ledger.sum(DONE), ledger.sum(THERE), ledger.sum(MOUNTED), ledger.wire, written
    )


def _send(store: Store, blob: Descriptor, remote: Remote, origins: Origins, ledger: Ledger, chunk: int) -> None:
    host, repository = remote.transport.host, remote.repository
    if remote.has_blob(blob.digest):
        ledger.end(blob, THERE)
    else:
        if not store.holds(blob):
            raise VerificationFailed(f"{store.root}: {blob.digest} was damaged and is set aside; get or build it again")
        told: Callable[[int], None] = partial(ledger.at, blob)
        with unfinished(store, blob.digest, remote.name) as memory:
            upload = Upload(remote, store.path(blob.digest), blob, chunk, memory)
            mounted = upload.run(origins.of(blob.digest, host, repository), told)
        ledger.end(blob, MOUNTED if mounted else DONE, upload.wire)
    origins.add(blob.digest, host, repository)


def _write_manifests(
    graph: Graph,
    about: dict[str, list[Descriptor]],
    remote: Remote,
    reference: Reference,
    root: str,
    ledger: Ledger,
) -> int:
    """Write those that are not there; how many were. The tag comes last, when all that it stands for is there."""
    written = 0
    unlisted: set[str] = set()
    subjects = {d.digest: subject for subject, found in about.items() for d in found}
    for digest in sorted(graph.manifests, key=lambda d: d == root):  # the others in their order
        descriptor, data = graph.manifests[digest]
        target = reference.tag if digest == root and reference.tag else digest
        there = remote.find(target)
        if there is not None and there.digest == digest:
            ledger.end(descriptor, THERE)
            continue
        keeps_referrers = remote.put_manifest(target, data, descriptor.media_type)
        ledger.end(descriptor, DONE)
        written += 1
        if digest in subjects and not keeps_referrers:
            unlisted.add(subjects[digest])
    for subject in sorted(unlisted):
        known = remote.listed(subject)
        if new := [d for d in about[subject] if d.digest not in {k.digest for k in known}]:
            remote.put_manifest(stand_in(subject), listing([*known, *new]), INDEX)
    return written
