"""Families: every metric that /metrics shows, once: its name, kind, labels, and how several workers' values add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .histogram import BOUNDS

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
# values are whole numbers everywhere, so that sums are exact in any order; shown are seconds, or microseconds
NS_PER_S, NS_PER_US = 10**9, 10**3
BATCH_BOUNDS: tuple[int, ...] = tuple(2**power for power in range(11))  # rows of a batch
# bounds that a person would name: 1, 2 and 5 of each decade
COARSE: tuple[int, ...] = tuple(b for b in BOUNDS if str(b)[0] in "125" and not str(b).startswith("15"))


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` is without the suffixes that its kind brings (_total, _info, _bucket).

    Values are whole numbers; shown is value / per. `bounds` are those counted, `shown` those that are told.
    `bare`: a counter that another product exposes without _total.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    per: int = 1
    bounds: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()
    merge: Callable[[int, int], int] = int.__add__
    bare: bool = False

    @property
    def unit(self) -> str:
        """As OpenMetrics wants it told: it has to be the name's last word."""
        return next((u for u in ("seconds", "bytes") if self.name.endswith("_" + u)), "")

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its lines."""
        if self.kind == "histogram":
            return tuple(self.name + suffix for suffix in ("_bucket", "_count", "_sum"))
        if self.kind == "counter" and not self.bare:
            return (self.name + "_total",)
        return (self.name + "_info",) if self.kind == "info" else (self.name,)


MODEL = ("model", "version")
ALIAS = ("model", "alias")


def _counter(name: str, text: str, *labels: str, per: int = 1) -> Family:
    return Family(name, "counter", text, labels, per)


def _gauge(name: str, text: str, *labels: str, merge: Callable[[int, int], int] = int.__add__) -> Family:
    return Family(name, "gauge", text, labels, merge=merge)


def _seconds(name: str, text: str, *labels: str, shown: tuple[int, ...] = COARSE) -> Family:
    return Family(name, "histogram", text, labels, NS_PER_S, BOUNDS, shown)


def _triton(name: str, text: str, *labels: str, per: int = 1, kind: Kind = "counter") -> Family:
    return Family(name, kind, text, (*MODEL, *labels), per, bare=True)


_ALL = (
    Family("gantline_build", "info", "What this server is.", ("version", "python", "onnxruntime")),
    _gauge("gantline_ready", "1 when every model has been tried and the server is not stopping.", merge=min),
    _gauge("gantline_workers", "Worker processes that answered this scrape."),
    _counter("gantline_worker_restarts", "How often a worker process was started again."),
    _gauge("gantline_connections", "Open HTTP connections."),
    _gauge("gantline_held_bytes", "Large bodies of requests that wait or are computed."),
    _gauge("gantline_held_limit_bytes", "What they may come to; more are refused."),
    _seconds("gantline_event_loop_lag_seconds", "How late the event loop came round, ten times a second."),
    _counter("gantline_denied", "Requests without a known key, or with one (or by a web page) that may not.", "reason"),
    # of models loaded on demand
    _gauge("gantline_models", "Models by state: loaded, standby (the next request loads it), loading.", "state"),
    _gauge("gantline_models_bytes", "What loaded models weigh, by their files or by measured growth."),
    _gauge("gantline_models_limit_bytes", "What they may weigh; the longest unused make room. 0: any."),
    _counter("gantline_model_loads", "Loads for requests: ok, failed, or refused for want of memory.", "outcome"),
    _counter("gantline_model_unloads", "Models unloaded to make room (memory), or unused (idle).", "reason"),
    _seconds("gantline_load_wait_seconds", "What requests for models that were not loaded waited for them."),
    # of aliases that are followed
    _gauge("gantline_alias_served", "1 where the version that it points at serves.", *ALIAS, "version", merge=min),
    Family("gantline_alias_failures", "counter", "Versions it was moved to that could not serve.", ALIAS, merge=max),
    _gauge("gantline_registry_reachable", "1 when the registry whose aliases are followed answers.", merge=min),
    # of each model version
    Family("gantline_model", "info", "The package that a model version is.", (*MODEL, "digest")),
    _gauge("gantline_model_ready", "1 when a model version is loaded, 0 when it is known only.", *MODEL, merge=min),
    _gauge("gantline_model_growth_bytes", "Memory that loading it added to the process, where that is known.", *MODEL),
    _counter("gantline_requests", "Requests that were answered, or that their client left.", *MODEL, "outcome"),
    _counter("gantline_rejections", "Requests that got an error, by reason.", *MODEL, "reason"),
    _seconds("gantline_request_seconds", "From arrival to answer, of requests that succeeded.", *MODEL, shown=BOUNDS),
    _seconds("gantline_phase_seconds", "What requests spent in each phase.", *MODEL, "phase"),
    _counter("gantline_rows", "Rows that were computed.", *MODEL),
    _counter("gantline_batches", "Batches that ran.", *MODEL),
    _counter("gantline_dispatches", "Batches by why they went when they did.", *MODEL, "reason"),
    Family("gantline_batch_rows", "histogram", "Rows of each batch.", MODEL, 1, BATCH_BOUNDS, BATCH_BOUNDS),
    _gauge("gantline_queue_requests", "Requests that wait.", *MODEL),
    _gauge("gantline_queue_rows", "Rows that wait.", *MODEL),
    _gauge("gantline_queue_limit_rows", "Rows that may wait now; more are refused.", *MODEL),
    _gauge("gantline_inflight_requests", "Requests that wait or are computed.", *MODEL),
    _gauge("gantline_model_memory_bytes", "A script host's own memory, or a model file's weights.", *MODEL),
    _counter("gantline_host_restarts", "How often a script host was started again.", *MODEL),
    # of the process, by the names that every Prometheus client uses
    _counter("process_cpu_seconds", "User and system CPU time.", per=NS_PER_S),
    _gauge("process_resident_memory_bytes", "Resident memory."),
    _gauge("process_virtual_memory_bytes", "Virtual memory."),
    _gauge("process_open_fds", "Open file descriptors."),
    _gauge("process_max_fds", "Most file descriptors that may be open."),
    Family("process_start_time_seconds", "gauge", "When the process started, since 1970.", (), NS_PER_S, merge=min),
    _gauge("process_threads", "Threads."),
    # Triton's, for dashboards that exist
    _triton("nv_inference_request_success", "Requests that succeeded."),
    _triton("nv_inference_request_failure", "Requests that failed.", "reason"),
    _triton("nv_inference_count", "Rows that were computed."),
    _triton("nv_inference_exec_count", "Runs of the engine."),
    _triton("nv_inference_request_duration_us", "Cumulative time of requests.", per=NS_PER_US),
    _triton("nv_inference_queue_duration_us", "Cumulative time of waiting.", per=NS_PER_US),
    _triton("nv_inference_compute_input_duration_us", "Cumulative time of putting batches together.", per=NS_PER_US),
    _triton("nv_inference_compute_infer_duration_us", "Cumulative time of running the engine.", per=NS_PER_US),
    _triton("nv_inference_compute_output_duration_us", "Cumulative time of taking batches apart.", per=NS_PER_US),
    _triton("nv_inference_pending_request_count", "Requests that wait.", kind="gauge"),
)  # fmt: skip
FAMILIES: dict[str, Family] = {f.name: f for f in _ALL}
