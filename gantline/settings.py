"""Settings: a frozen dataclass a program; flag > environment > gantline.toml > package > config.pbtxt > default."""

from __future__ import annotations

import argparse
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from .conflicts import check_together
from .errors import UsageError
from .setting import PREFIX, Setting, Value, check, nearest, number_of, setting, settings_of, unknown

TOML = "gantline.toml"
CONFIG = "GANTLINE_CONFIG"  # the path of a gantline.toml elsewhere
# read by other parts of the program; not settings of a server
OTHER_VARIABLES = (
    CONFIG, "GANTLINE_HOME", "GANTLINE_KEY", "GANTLINE_REGISTRY", "GANTLINE_REGISTRY_HOST",
    "GANTLINE_REGISTRY_PASSWORD", "GANTLINE_REGISTRY_USER", "GANTLINE_SCRIPT_PYTHON", "GANTLINE_URL",
)  # fmt: skip
# Kubernetes sets these for every Service whose name begins with "gantline"
_INJECTED_NAME = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?$")
_INJECTED_VALUE = re.compile(r"(tcp|udp|sctp)://")

_VERSIONS: dict[str, Any] = {
    "pattern": r"all|latest(:[1-9][0-9]{0,8})?|[0-9]{1,18}(,[0-9]{1,18})*",
    "form": 'latest:N, all, or version numbers such as "1,3"',
}
_HOSTS = ("per-worker", "shared")
_SHARING = ("no", "offer", "join")
_LOAD = ("start", "on-demand")
_DAY: dict[str, Any] = {"low": 0, "high": 86400}
_SECONDS: dict[str, Any] = {"low": 0, "high": 3e7}
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The server's settings. Sizes are in bytes, times in seconds; 0 means what the help text says."""

    host: str = setting(
        "127.0.0.1", "address to listen on; one that others can reach needs --keys or --no-auth",
        pattern=r"\S+", form="an address or a name, such as 127.0.0.1 (0.0.0.0: all of this machine)",
    )  # fmt: skip
    http_port: int = setting(8000, "HTTP port; 0: any free one", low=0, high=65535)
    front: str = setting("http1", "h2: HTTP/2 and gRPC on the HTTP port, too (extra [h2])", choices=("http1", "h2"))
    grpc_port: int = setting(8001, "gRPC port, of each worker; 0, or --http-port 0 alone: any free", low=0, high=65535)
    no_grpc: bool = setting(False, "do not serve gRPC")
    share_ports: str = setting("no", "offer: a later server may take the ports; join: be that one", choices=_SHARING)
    workers: int = setting(1, "worker processes; 0 or auto: one a usable core", low=0, high=1024, words={"auto": 0})
    worker_timeout_s: float = setting(
        30.0, "with several workers, one whose event loop is stuck so long is replaced; 0: never", low=0, high=86400
    )
    default: str = setting("", "model that answers /score and /; default: the only one")

    model_control: str = setting(
        "full", "full: load all at start, then on request; explicit: only on request; poll: what lies there, and what "
        "comes later; none: all at start, and no more", choices=("full", "explicit", "poll", "none"),
    )  # fmt: skip
    poll_s: float = setting(15.0, "with --model-control poll, look for changes this often", low=0.1, high=86400)
    follow_s: float = setting(5.0, "look this often where registry://NAME@ALIAS points; 0: never again", **_DAY)
    load_model: str = setting("", "with --model-control explicit, models to load at start: A,B or * for all")
    load: str = setting("start", "when models are loaded; on-demand: each at its first request", choices=_LOAD)
    memory: int = setting(0, "most that models loaded on demand weigh; unused ones go; 0: any", unit="bytes", low=0)
    unload_after_s: float = setting(0.0, "with --load on-demand, unload a model unused so long; 0: never", **_SECONDS)
    versions: str = setting("latest:1", "which versions of a model serve: latest:N, all, or 1,3", **_VERSIONS)
    no_replay: bool = setting(False, "let versions serve that have not answered their golden samples")

    max_body_bytes: int = setting(
        64 << 20, "largest request body or gRPC message, also after decompression", unit="bytes", low=1, high=1 << 40
    )
    max_header_bytes: int = setting(64 << 10, "largest request head", unit="bytes", low=1 << 10, high=16 << 20)
    max_pending_bytes: int = setting(
        0, "bodies of requests that wait or run, together; 0: a quarter of the memory", unit="bytes", low=0
    )
    max_connections: int = setting(8192, "open connections; further ones are answered 503; 0: no limit", low=0)
    keep_alive_s: float = setting(75.0, "how long an idle connection is kept", low=0, high=86400)
    header_timeout_s: float = setting(20.0, "time to send a request's head; 0: no limit", low=0, high=86400)
    body_timeout_s: float = setting(60.0, "longest pause between two pieces of a body; 0: no limit", low=0, high=86400)
    request_timeout_s: float = setting(0.0, "time from head to answer; 0: no limit", low=0, high=86400)
    max_grpc_calls: int = setting(
        8192, "gRPC calls under way, streams too; further ones are RESOURCE_EXHAUSTED; 0: no limit", low=0
    )
    grpc_compression: str = setting(
        "none", "how answers over gRPC are compressed, for clients that can", choices=("none", "gzip", "deflate")
    )
    drain_s: float = setting(0.0, "after SIGTERM, keep listening (and not ready) this long", low=0, high=3600)
    shutdown_s: float = setting(30.0, "after that, wait this long for accepted requests", low=0, high=3600)

    max_queue_rows: int = setting(16384, "rows that may wait for one model; more are answered 503", low=1)
    latency_target_ms: float = setting(
        0.0,
        "p99 to keep, by batch sizes and refusals; it takes the place of max_queue_delay_ms; 0: none",
        low=0,
        high=3.6e6,
    )
    max_wait_s: float = setting(
        30.0, "without a target: a request that would wait longer is answered 503 at once; 0: any", low=0, high=86400
    )
    max_queue_delay_ms: float = setting(
        0.0, "longest wait for a fuller batch; 0: an idle model never waits", low=0, high=60_000
    )
    deadline_s: float = setting(0.0, "time for a request that brings none of its own; 0: no limit", low=0, high=86400)
    tenants: str = setting("", "shares of the tenants of x-gantline-tenant, gold=3,free=0.5 say; default: 1 each")
    priority_levels: int = setting(10, "levels of priority, 1 the most urgent", low=1, high=1000)
    default_priority: int = setting(0, "level of a request that brings none; 0: the middle one", low=0, high=1000)
    priority_ageing_s: float = setting(
        1.0, "after so long in the queue a request counts one level more urgent; 0: never", low=0, high=3600
    )
    threads: int = setting(0, "threads of one model's engine; 0: by the model's size", low=0, high=4096)
    instances: int = setting(1, "batches of one model that may run at once; for a script, its hosts", low=1, high=64)
    timeout_s: float = setting(0.0, "time for one call of a script; 0: as the package says", low=0, high=86400)
    memory_limit: int = setting(0, "memory of one script host; 0: no limit", unit="bytes", low=0)
    script_grace_s: float = setting(
        5.0,
        "time for a script to stop when nobody waits for it, or it is killed; 0: it goes on",
        low=0,
        high=3600,
    )
    script_hosts: str = setting(
        "per-worker",
        "with several workers, whether each has its own host of a script or they share one",
        choices=_HOSTS,
    )

    allow_shared_memory: bool = setting(False, "let clients register shared-memory regions for their tensors")

    no_pickle: bool = setting(False, "refuse packages whose script may unpickle")
    no_auth: bool = setting(False, "let others reach the server without keys")
    keys: str = setting("", "file of API keys; read again when it changes", unit="path")
    keyless: str = setting(
        "health", "what answers without a key, when there are keys", choices=("nothing", "health", "health+metrics")
    )
    tls_certificate: str = setting("", "certificate chain, PEM", unit="path")
    tls_key: str = setting("", "its private key, PEM", unit="path")

    log_level: str = setting("info", "least level that is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "form of the log", choices=("text", "json"))
    trace_dir: str = setting("", "directory for trace files; without it requests cannot be traced", unit="path")
    access_log: bool = setting(False, "log one line for each request")

    no_docs: bool = setting(False, "show neither the page /docs nor /openapi.json")
    no_metrics: bool = setting(False, "do not show /metrics, nor measure what only it shows")
    no_triton_metrics: bool = setting(False, "leave Triton's names (nv_inference_*) out of /metrics")

    def __post_init__(self) -> None:
        check(self)
        self.weights  # noqa: B018  # its error is due now
        if self.keys and self.no_auth:
            raise UsageError("keys and no_auth exclude each other: give one of them")
        if self.load_model and self.model_control != "explicit":
            raise UsageError("load_model needs --model-control explicit: otherwise all models are loaded at start")
        if 0 < self.worker_timeout_s < 1:
            raise UsageError(f"worker_timeout_s {self.worker_timeout_s:g}: give 1 at least, or 0 for never")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise UsageError("tls_certificate and tls_key go together: give both or neither")
        if not (self.keys or self.no_auth or is_loopback(self.host)):
            raise UsageError(
                f"host {self.host}: other machines could reach it; give --keys (`gantline keys new` makes one), "
                "or --no-auth"
            )

    @property
    def weights(self) -> dict[bytes, float]:
        """The shares of `tenants` by name. UsageError for what is not NAME=NUMBER,..."""
        out: dict[bytes, float] = {}
        for part in filter(None, (p.strip() for p in self.tenants.split(","))):
            name, equals, text = part.partition("=")
            share = number_of(text, float) if equals else None
            if share is None or not 0.001 <= share <= 1000:
                raise UsageError(f"tenants: {part!r} is not NAME=SHARE, with a share from 0.001 to 1000")
            if name.strip().encode() in out:
                raise UsageError(f"tenants: {name.strip()!r} is there twice")
            out[name.strip().encode()] = float(share)
        return out

    @property
    def models_to_load(self) -> tuple[str, ...]:
        """The names in `load_model`."""
        return tuple(name for name in (w.strip() for w in self.load_model.split(",")) if name)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model's settings: `[model.NAME]`. A field that ServeSettings has too falls back to the server's."""

    max_queue_rows: int = setting(16384, "rows that may wait; more are answered 503", low=1)
    latency_target_ms: float = setting(
        0.0,
        "p99 to keep, by batch sizes and refusals; it takes the place of max_queue_delay_ms; 0: none",
        low=0,
        high=3.6e6,
    )
    max_wait_s: float = setting(
        30.0, "without a target: a request that would wait longer is answered 503 at once; 0: any", low=0, high=86400
    )
    max_batch_size: int = setting(0, "most rows in one run; 0: never stack requests", low=0)
    max_queue_delay_ms: float = setting(0.0, "longest wait for a fuller batch; 0: never waits", low=0, high=60_000)
    deadline_s: float = setting(0.0, "time for a request that brings none of its own; 0: no limit", low=0, high=86400)
    priority_levels: int = setting(10, "levels of priority, 1 the most urgent", low=1, high=1000)
    default_priority: int = setting(0, "level of a request that brings none; 0: the middle one", low=0, high=1000)
    priority_ageing_s: float = setting(
        1.0, "after so long in the queue a request counts one level more urgent; 0: never", low=0, high=3600
    )
    versions: str = setting("latest:1", "which versions serve: latest:N, all, or 1,3", **_VERSIONS)
    default_version: int = setting(0, "version for requests that name none; 0: the highest", low=0)
    pinned: bool = setting(False, "with --load on-demand: load it at start and keep it")
    unload_after_s: float = setting(0.0, "with --load on-demand, unload it when unused so long; 0: never", **_SECONDS)
    no_replay: bool = setting(False, "let versions serve that have not answered their golden samples")
    threads: int = setting(0, "threads of the engine; 0: by the model's size", low=0, high=4096)
    instances: int = setting(1, "batches that may run at once; for a script, its hosts", low=1, high=64)
    timeout_s: float = setting(0.0, "time for one call of a script; 0: as the package says", low=0, high=86400)
    memory_limit: int = setting(0, "memory of the script host; 0: no limit", unit="bytes", low=0)
    script_grace_s: float = setting(
        5.0,
        "time for a script to stop when nobody waits for it, or it is killed; 0: it goes on",
        low=0,
        high=3600,
    )
    script_hosts: str = setting(
        "per-worker",
        "with several workers, whether each has its own host of the script or they share one",
        choices=_HOSTS,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one place. `where` is a format that takes the setting: "environment {0.variable}"."""

    where: str
    values: Mapping[str, Any]
    folder: Path | None = None  # relative paths start here


@dataclass(frozen=True, slots=True)
class Resolved(Generic[S]):
    """Settings, where each value came from, and what each model's table in gantline.toml says."""

    settings: S
    origins: dict[str, str]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    file: str = TOML  # where `models` are from, as messages name it

    def model(
        self, name: str, package: Mapping[str, Any] | None = None, pbtxt: Mapping[str, Any] | None = None
    ) -> Resolved[ModelSettings]:
        """One model's settings. `package` and `pbtxt` are what its manifest and config.pbtxt say, without defaults.

        A server-wide flag or variable beats the model's table; the model's table beats `[serve]`.
        """
        own = Layer(_literal(f"{self.file} [model.{name}] ") + "{0.name}", self.models.get(name, {}))
        shared = [layer for layer in self.layers if layer.folder is None]
        file = [layer for layer in self.layers if layer.folder is not None]
        rest = [Layer("package {0.name}", package or {}), Layer("config.pbtxt {0.name}", pbtxt or {})]
        return _settle(ModelSettings, (*shared, own, *file, *rest))


def resolve(
    kind: type[S],
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    toml_path: str | os.PathLike[str] | None = None,
) -> Resolved[S]:
    """Settle every setting of a class. UsageError for an unknown key (naming the nearest known one), a bad value, or
    values that cannot be meant together.

    `flags` maps field names to text, None where not given. `toml_path` None: see `find_toml`; without one, no file.
    """
    known = settings_of(kind)
    unknown(flags, known, "flag")
    path = find_toml(environ) if toml_path is None else Path(toml_path)
    section, models = _read_toml(path, known) if path else ({}, {})
    layers = (
        Layer("flag {0.flag}", {k: v for k, v in flags.items() if v is not None}),
        Layer("environment {0.variable}", _from_environment(known, environ)),
        Layer(_literal(f"{path or TOML} [serve] ") + "{0.name}", section, path.parent if path else None),
    )
    settled = _settle(kind, layers)
    if isinstance(settled.settings, ServeSettings):
        check_together(settled.settings, settled.origins)
    return Resolved(settled.settings, settled.origins, models, layers, str(path or TOML))


def _literal(text: str) -> str:
    """For a format that says it as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def find_toml(environ: Mapping[str, str]) -> Path | None:
    """The file that GANTLINE_CONFIG names, or gantline.toml in the working directory if there is one."""
    if named := environ.get(CONFIG):
        return Path(named)
    here = Path(TOML)
    return here if here.is_file() else None


def add_arguments(parser: argparse.ArgumentParser, kind: Any, only: Sequence[str] = ()) -> None:
    """One flag for each setting (of those in `only`). Values stay text: `resolve` reads them, as it does all others.

    A switch has an opposite (--access-log, --no-access-log; --no-pickle, --pickle), to undo a file's choice.
    """
    group = parser.add_argument_group("settings", f"each is also {PREFIX}NAME, and NAME in the [serve] table of {TOML}")
    group.add_argument("--config", metavar="FILE", help=f"settings file (default: {TOML} here, if there is one)")
    for name, one in settings_of(kind).items():
        if only and name not in only:
            continue
        # argparse formats help with %, and a default that is 0 or empty is told in the text
        text = one.help if one.default in ("", 0) else f"{one.help} (default: {one.show(one.default)})"
        if isinstance(one.default, bool):
            opposite = "--" + one.flag.removeprefix("--no-") if name.startswith("no_") else "--no-" + one.flag[2:]
            group.add_argument(one.flag, dest=name, action="store_const", const="true", help=text)
            group.add_argument(opposite, dest=name, action="store_const", const="false", help=argparse.SUPPRESS)
        else:
            group.add_argument(one.flag, dest=name, metavar=one.placeholder, help=text.replace("%", "%%"))


def flags_of(args: argparse.Namespace, kind: Any) -> dict[str, str | None]:
    """What the flags of `add_arguments` said, ready for `resolve`."""
    return {name: getattr(args, name, None) for name in settings_of(kind)}


def _settle(kind: type[S], layers: Sequence[Layer]) -> Resolved[S]:
    values: dict[str, Value] = {}
    origins: dict[str, str] = {}
    for name, one in settings_of(kind).items():
        layer = next((layer for layer in layers if name in layer.values), None)
        if layer is None:
            values[name], origins[name] = one.default, "default"
            continue
        origins[name] = layer.where.format(one)
        value = one.read(layer.values[name], origins[name])
        if one.unit == "path" and value and layer.folder is not None:
            value = str(layer.folder / str(value))
        values[name] = value
    return Resolved(kind(**values), origins)


def _from_environment(known: Mapping[str, Setting], environ: Mapping[str, str]) -> dict[str, str]:
    variables = {one.variable: name for name, one in known.items()}
    found: dict[str, str] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES or _INJECTED_VALUE.match(text):
            continue
        if variable in variables:
            found[variables[variable]] = text
        elif not _INJECTED_NAME.search(variable):
            close = nearest(variable, (*variables, *OTHER_VARIABLES))
            raise UsageError(f"environment: unknown setting {variable!r}; {close}")
    return found


def _read_toml(path: Path, known: Mapping[str, Setting]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise UsageError(f"{path}: not TOML: {e}") from e
    unknown(tree, ("serve", "model"), str(path))
    section = _table(tree, "serve", f"{path} [serve]")
    unknown(section, known, f"{path} [serve]")
    models = _table(tree, "model", f"{path} [model]")
    for name in models:
        where = f"{path} [model.{name}]"
        own = _table(models, name, where)
        for key, value in own.items():
            if isinstance(value, dict):
                raise UsageError(f'{where}: table {key!r} inside; a name with a dot is quoted: [model."{name}.{key}"]')
        unknown(own, settings_of(ModelSettings), where)
        for key, one in settings_of(ModelSettings).items():
            if key in own:
                one.read(own[key], f"{where} {key}")
    return section, models


def _table(tree: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    found = tree.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{where}: expected a table, found {found!r}")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    from ipaddress import ip_address

    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
