"""Replay: run a package's golden samples through a session and compare with what they say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from gantline.errors import BadRequest, VerificationFailed
from gantline.manifest import Golden
from gantline.request import Reply, Request
from gantline.wire.v2 import decode_reply, decode_request

from . import bodies
from .agreement import Difference, compare
from .session import Session
from .stateful import Steps, kept_by


@dataclass(frozen=True, slots=True)
class Replayed:
    """One golden sample that held: how many rows, and how far each output was from what it says. A body has no rows."""

    request: str
    rows: int
    differences: tuple[Difference, ...]

    @property
    def max_rel(self) -> float:
        return max((d.max_rel for d in self.differences), default=0.0)


def read_golden(root: Path, golden: Golden) -> tuple[Request, Reply]:
    """A golden sample's request and reply. VerificationFailed names a file that cannot be read as one."""
    try:
        request = decode_request((root / golden.request).read_bytes(), golden.request_header or None)
    except (OSError, BadRequest) as e:
        raise VerificationFailed(f"{root / golden.request}: not a golden request: {e}") from e
    try:
        reply = decode_reply((root / golden.reply).read_bytes(), golden.reply_header or None)
    except Exception as e:
        raise VerificationFailed(f"{root / golden.reply}: not a golden reply: {e}") from e
    return request, reply


def replay(session: Session) -> list[Replayed]:
    """Run every golden sample; VerificationFailed names the output, error and row, or the JSON path, that differs."""
    policy = kept_by(session.engine)
    steps = Steps(policy) if policy is not None else None
    return [replay_one(session, g, steps) for g in session.package.manifest.golden]


def replay_one(session: Session, golden: Golden, steps: Steps | None = None) -> Replayed:
    """Run one golden sample and compare what is answered within the sample's own tolerance.

    `steps`: the sequence that those before it have begun.
    """
    if golden.kind == "score":
        return Replayed(golden.request, 0, (bodies.replay(session, golden),))
    root = session.package.path
    request, reply = read_golden(root, golden)
    session.signature.check(session.package.name, request.inputs)
    names = [name for name, _ in reply.outputs]
    if golden.kind == "sequence":
        if steps is None:
            raise VerificationFailed(f"{root / golden.request}: a golden sequence, and the package keeps no sequences")
        got = steps.run(session, request, names)
    else:
        started = perf_counter_ns()
        got = session.run(request.inputs, names)
        session.replayed_ns = perf_counter_ns() - started
    found = []
    for (name, want), array in zip(reply.outputs, got, strict=True):
        difference = compare(name, want, array, golden.atol)
        problem = difference.breach(golden.rtol)
        if problem:
            raise VerificationFailed(f"{root / golden.request}: replayed, {problem}")
        found.append(difference)
    return Replayed(golden.request, _rows(request), tuple(found))


def _rows(request: Request) -> int:
    first = next(iter(request.inputs.values()), None)
    return first.shape[0] if first is not None and first.ndim else 1
