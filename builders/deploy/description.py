"""Description: an endpoint and its deployments, as an operator wants them; no platform's words in it.

Everything is checked where it is made, so that a target only writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from gantline.builders.image.settings import HTTP

from gantline.errors import UsageError
from gantline.setting import PREFIX, nearest, settings_of
from gantline.settings import OTHER_VARIABLES, ServeSettings

from . import quantity

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# what Kubernetes takes as the name of a Secret, and as a key in it; both are names of files elsewhere
_SECRET = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_SECRET_KEY = re.compile(r"(?!\.\.|\.$)[A-Za-z0-9._-]{1,253}")
_LONGEST = 63  # characters of a DNS label
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYS_FILE = "keys.toml"
DRAIN_S, SHUTDOWN_S = 5.0, 30.0
_USUAL_CPU, _USUAL_MEMORY, _USUAL_TMP = "500m", "512Mi", "1Gi"
# what the description itself says, and the targets write
_OURS = (
    "GANTLINE_DRAIN_S", "GANTLINE_SHUTDOWN_S", "GANTLINE_KEYS", "GANTLINE_NO_AUTH", "GANTLINE_HOST",
    "GANTLINE_HTTP_PORT", "GANTLINE_GRPC_PORT", "PORT",
)  # fmt: skip
# what would keep every probe from its answer: a platform asks plain HTTP, and has no key
_UNPROBED = ("GANTLINE_TLS_CERTIFICATE", "GANTLINE_TLS_KEY")
_KEYLESS = "GANTLINE_KEYLESS"


def check_name(text: str, where: str) -> str:
    """A DNS label that begins with a letter, as Services want it; UsageError names `where`."""
    if not _LABEL.fullmatch(text):
        raise UsageError(
            f"{where} {text!r:.100}: expected at most {_LONGEST} lower-case letters, digits and '-', the first a letter"
        )
    return text


@dataclass(frozen=True, slots=True)
class Probe:
    """How often it is asked, in seconds, and how many answers in a row decide."""

    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 5
    failures: int = 3
    successes: int = 1


@dataclass(frozen=True, slots=True)
class Probes:
    """`startup` waits for the model to be loaded and its golden samples to be answered."""

    startup: Probe = Probe(period_s=2, failures=150)
    readiness: Probe = Probe(period_s=5)
    liveness: Probe = Probe()

    def __post_init__(self) -> None:
        if self.startup.successes != 1 or self.liveness.successes != 1:
            raise UsageError("probes: successes of startup and liveness can only be 1")


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits; an empty limit is none. `tmp`: the most that may lie in /tmp."""

    cpu: str = _USUAL_CPU
    memory: str = _USUAL_MEMORY
    cpu_limit: str = ""
    memory_limit: str = ""
    gpus: int = 0
    tmp: str = _USUAL_TMP

    @classmethod
    def of(
        cls, cpu: str = "", memory: str = "", cpu_limit: str = "", memory_limit: str = "", gpus: int = 0, tmp: str = ""
    ) -> Self:
        """What is said; what is not is the usual, or the limit where that is less."""
        quantity.processors(cpu_limit or _USUAL_CPU, "resources: cpu_limit")
        quantity.memory(memory_limit or _USUAL_MEMORY, "resources: memory_limit")
        asked = cpu or min(_USUAL_CPU, cpu_limit or _USUAL_CPU, key=quantity.value)
        held = memory or min(_USUAL_MEMORY, memory_limit or _USUAL_MEMORY, key=quantity.value)
        return cls(asked, held, cpu_limit, memory_limit, gpus, tmp or _USUAL_TMP)

    def __post_init__(self) -> None:
        quantity.processors(self.cpu, "resources: cpu")
        quantity.memory(self.memory, "resources: memory")
        quantity.memory(self.tmp, "resources: tmp")
        if self.cpu_limit:
            quantity.processors(self.cpu_limit, "resources: cpu_limit")
        if self.memory_limit:
            quantity.memory(self.memory_limit, "resources: memory_limit")
        both = (("cpu", self.cpu, self.cpu_limit), ("memory", self.memory, self.memory_limit))
        for name, asked, limit in both:
            if limit and quantity.value(limit) < quantity.value(asked):
                raise UsageError(f"resources: {name}_limit {limit} is less than the {asked} that are asked for")


@dataclass(frozen=True, slots=True)
class Instances:
    """From `low` to `high` containers, so that they use `cpu_percent` of the processors they ask for."""

    low: int = 1
    high: int = 1
    cpu_percent: int = 70

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise UsageError(f"instances: min {self.low} is more than max {self.high}")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One key of a secret that the platform keeps; what it holds is never read here."""

    secret: str
    key: str

    def __post_init__(self) -> None:
        if not _SECRET.fullmatch(self.secret):
            raise UsageError(
                f"secret {self.secret!r:.100}: expected lower-case letters, digits and '-', in parts joined by one '.'"
            )
        if not _SECRET_KEY.fullmatch(self.key):
            raise UsageError(
                f"key {self.key!r:.100} of a secret: expected letters, digits, '.', '_' and '-', and no '..' first"
            )


@dataclass(frozen=True, slots=True)
class ImageName:
    """What to run: by its digest, or as it is called where it runs already (`by_tag`)."""

    name: str
    by_tag: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """One image as it is to run. `traffic` is a percentage of what the endpoint is asked."""

    name: str
    image: ImageName
    traffic: int = 100
    instances: Instances = Instances()
    resources: Resources = Resources()
    probes: Probes = Probes()
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, SecretKey] = field(default_factory=dict)  # variable -> where its value is kept
    keys: SecretKey | None = None  # a file of API keys
    drain_s: float = DRAIN_S
    shutdown_s: float = SHUTDOWN_S
    egress: bool | None = None  # whether it may open connections; None: not said

    def __post_init__(self) -> None:
        check_name(self.name, "deployment")
        for variable in (*self.environment, *self.secrets):
            if not _VARIABLE.fullmatch(variable):
                raise UsageError(f"{self.name}: environment: {variable!r:.100} is no name of a variable")
            if variable in _OURS:
                raise UsageError(f"{self.name}: environment: {variable} is set by what the description itself says")
            if variable in _UNPROBED:
                raise UsageError(
                    f"{self.name}: environment: {variable}: probes ask plain HTTP; let what stands before it end TLS"
                )
        if self.environment.get(_KEYLESS) == "nothing" or _KEYLESS in self.secrets:
            raise UsageError(f"{self.name}: environment: {_KEYLESS}: probes have no key; health has to answer without")
        _check_settings(self.name, self.environment)
        if both := sorted(self.environment.keys() & self.secrets.keys()):
            raise UsageError(f"{self.name}: {both[0]} is in environment and in secrets; leave it in one")

    @property
    def variables(self) -> dict[str, str]:
        """All that its environment holds but for secrets, sorted."""
        own = {"GANTLINE_DRAIN_S": f"{self.drain_s:g}", "GANTLINE_SHUTDOWN_S": f"{self.shutdown_s:g}"}
        return dict(sorted({**self.environment, **own}.items()))

    @property
    def grace_s(self) -> int:
        """Seconds from SIGTERM to SIGKILL: until it has drained and answered, and some to stop."""
        return math.ceil(self.drain_s + self.shutdown_s) + 5


@dataclass(frozen=True, slots=True)
class Site:
    """Where a cluster keeps an endpoint, and the secret by which it pulls the images; empty: its own default.

    `gateway`, [NAMESPACE/]NAME: a router of the cluster's, that sends there what is asked of `hostname`.
    """

    namespace: str = ""
    pull_secret: str = ""
    gateway: str = ""
    hostname: str = ""

    def __post_init__(self) -> None:
        if self.namespace and not _NAMESPACE.fullmatch(self.namespace):
            raise UsageError(
                f"namespace {self.namespace!r:.100}: expected at most {_LONGEST} lower-case letters, digits and '-'"
            )
        if self.pull_secret and not _SECRET.fullmatch(self.pull_secret):
            raise UsageError(f"pull_secret {self.pull_secret!r:.100}: expected the name of a secret")
        space, slash, gateway = self.gateway.rpartition("/")
        if self.gateway and not (_SECRET.fullmatch(gateway) and (not slash or _NAMESPACE.fullmatch(space))):
            raise UsageError(f"gateway {self.gateway!r:.100}: expected NAME or NAMESPACE/NAME of one in the cluster")
        if self.hostname and not _SECRET.fullmatch(self.hostname.removeprefix("*.")):
            raise UsageError(f"hostname {self.hostname!r:.100}: expected one as credit.example.com")
        if bool(self.gateway) != bool(self.hostname):
            raise UsageError("gateway and hostname go together: a gateway sends what is asked of a name")

    def left_out(self) -> Iterator[str]:
        """What has no place outside of a cluster: KEY is not applied: WHY."""
        if self.namespace:
            yield "namespace is not applied: there are none here"
        if self.pull_secret:
            yield "pull_secret is not applied: whoever starts it logs in to the registry"
        if self.gateway:
            yield "gateway is not applied: there is no cluster here, nor its router"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A name and its deployments, whose traffic adds up to 100. gRPC is at `port` and one."""

    name: str
    deployments: tuple[Deployment, ...]
    port: int = HTTP
    site: Site = Site()

    def __post_init__(self) -> None:
        check_name(self.name, "endpoint")
        names = [d.name for d in self.deployments]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise UsageError(f"{self.name}: deployment {twice[0]!r} is there twice")
        if not names:
            raise UsageError(f"{self.name}: no deployment")
        total = sum(d.traffic for d in self.deployments)
        if total != 100:
            raise UsageError(f"{self.name}: the traffic of its deployments adds up to {total}; it has to be 100")
        for name in names:
            check_name(f"{self.name}-{name}", "endpoint and deployment together,")

    @property
    def grpc_port(self) -> int:
        """The one after the port of HTTP."""
        return self.port + 1

    @property
    def weighted(self) -> tuple[Deployment, ...]:
        """Those that get traffic."""
        return tuple(d for d in self.deployments if d.traffic)


def _check_settings(name: str, environment: dict[str, str]) -> None:
    """What a server would refuse when it starts is refused here."""
    known = {one.variable: one for one in settings_of(ServeSettings).values()}
    for variable, text in environment.items():
        if variable in known:
            known[variable].read(text, f"{name}: environment: {variable}")
        elif variable.startswith(PREFIX) and variable not in OTHER_VARIABLES:
            raise UsageError(f"{name}: environment: unknown setting {variable!r:.100}; {nearest(variable, known)}")


def only_weighted(endpoint: Endpoint, target: str, why: str) -> Deployment:
    """The one deployment that gets all traffic; UsageError where several share it."""
    shares = endpoint.weighted
    if len(shares) > 1:
        told = ", ".join(f"{d.name} {d.traffic} %" for d in shares)
        raise UsageError(f"{target}: {why}, so traffic cannot be shared ({told}); give one of them 100")
    return shares[0]
