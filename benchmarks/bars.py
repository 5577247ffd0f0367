"""What the comparison with other servers has to show: which rows are set against which, what is wanted, what was got.

Pure: loads in, verdicts out. Of several settings of one server the best one counts, for each number of connections.
What is wanted over Triton is wanted over the Triton of its wheel, whose backend is Python; how we stand to Triton with
a backend in C++ is told beside it, with nothing wanted.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from measuring import Load

CPP = "Triton with our C++ backend"


@dataclass(frozen=True, slots=True)
class Row:
    """One server with one load: a Load for each round. `connections` 0: a loop without a server."""

    workload: str
    server: str
    kind: str
    wire: str
    connections: int
    loads: list[Load] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return statistics.median(load.per_second for load in self.loads)

    @property
    def p50_ms(self) -> float:
        return statistics.median(load.p50_ms for load in self.loads)

    @property
    def p99_ms(self) -> float:
        return statistics.median(load.p99_ms for load in self.loads)

    @property
    def failed(self) -> int:
        return sum(load.failed for load in self.loads)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`got` is the median of the rounds' ratios of `ours` to `theirs`; `at_most`: smaller is better.

    `wanted` and `met` None: a ratio that is told, and no bar.
    """

    about: str
    ours: str
    theirs: str
    wanted: float | None
    got: float
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        if self.wanted is None:
            return None
        return self.got <= self.wanted if self.at_most else self.got >= self.wanted


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Every bar for which there are rows on both sides."""
    found = []
    for connections, over_triton in ((32, 2.5), (64, 3.0)):
        about = f"a, HTTP, {connections} connections"
        ours = _best(rows, "a", connections, "gantline")
        found.append(_ratio(f"{about}: over Triton", ours, _best(rows, "a", connections, "triton"), over_triton))
        found.append(_ratio(f"{about}: over {CPP}", ours, _best(rows, "a", connections, "triton-cpp"), None))
        found.append(_ratio(f"{about}: over the best Python server", ours, _best(rows, "a", connections, "python"), 15))
        for workers in ("1 worker", "2 workers"):
            ours, bare = (_best(rows, "a", connections, kind, workers) for kind in ("gantline", "echo"))
            found.append(_ratio(f"{about}: over a raw-ASGI echo, {workers}", ours, bare, 1.0))
    kinds = ("gantline", "triton", "triton-cpp")
    ours, theirs, cpp = (_best(rows, "a", 1, kind, key=lambda r: -r.p50_ms) for kind in kinds)
    about = "a, HTTP, 1 connection: p50 as a share of"
    found.append(_ratio(f"{about} Triton's", ours, theirs, 0.45, _p50, at_most=True))
    found.append(_ratio(f"{about} that of {CPP}", ours, cpp, None, _p50, at_most=True))
    h2 = _best(rows, "a", 64, "h2", wire="gRPC")
    found.append(_ratio("a, gRPC: front h2 over Triton", h2, _best(rows, "a", 64, "triton", wire="gRPC"), 2.2))
    found.append(_ratio(f"a, gRPC: front h2 over {CPP}", h2, _best(rows, "a", 64, "triton-cpp", wire="gRPC"), None))
    theirs = _best(rows, "a", 64, "python", wire="gRPC")
    found.append(_ratio("a, gRPC: front h2 over the best Python server", h2, theirs, 10))
    # the echo is one process
    grpcio, bare = (_best(rows, "a", 64, kind, name, "gRPC") for kind, name in (("gantline", "1 w"), ("grpc-echo", "")))
    found.append(_ratio("a, gRPC: grpcio over a raw grpcio echo, 1 worker", grpcio, bare, 0.5))
    wide = _best(rows, "c", 64, "gantline", "1 worker")
    found.append(_ratio("c: over max_batch_size 1", wide, _best(rows, "c", 64, "unbatched"), 5))
    for setting in ("1 worker", "2 workers", "2 instances"):
        wide, bare = _best(rows, "c", 64, "gantline", setting), _best(rows, "c", 0, "loop", setting)
        found.append(_ratio(f"c: over raw onnxruntime at the same batch, {setting}", wide, bare, 0.95))
    for connections in (1, 32, 64):
        image = _best(rows, "d", connections, "gantline", "1 worker")
        about = f"d, {connections} connections: over raw onnxruntime"
        found.append(_ratio(about, image, _best(rows, "d", 0, "loop"), 0.97))
    return [v for v in found if v is not None]


def _per_second(load: Load) -> float:
    return load.per_second


def _p50(load: Load) -> float:
    return load.p50_ms


def _best(
    rows: Iterable[Row],
    workload: str,
    connections: int,
    kind: str,
    name: str = "",
    wire: str = "",
    key: Callable[[Row], float] = lambda r: r.per_second,
) -> Row | None:
    mine = [
        r
        for r in rows
        if (r.workload, r.connections, r.kind) == (workload, connections, kind)
        and name in r.server
        and (r.wire == "gRPC") == (wire == "gRPC")
        and r.loads
    ]
    return max(mine, key=key, default=None)


def _ratio(
    about: str,
    ours: Row | None,
    theirs: Row | None,
    wanted: float | None,
    of: Callable[[Load], float] = _per_second,
    at_most: bool = False,
) -> Verdict | None:
    if ours is None or theirs is None:
        return None
    ratios = [of(a) / of(b) for a, b in zip(ours.loads, theirs.loads, strict=False) if of(b)]
    if not ratios:
        return None
    return Verdict(about, ours.server, theirs.server, wanted, statistics.median(ratios), at_most)
