"""Wish: how somebody wants an image to run, and what an engine is told then."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gantline.errors import BadArtefact, UsageError
from gantline.oci.image import Image

from .key_folder import FILE, INSIDE

VERSION = "dev.gantline.version"  # label of an image: of the runtime in it
NAME = "dev.gantline.endpoint"  # labels of what we start: its name,
STARTED = "dev.gantline.started"  # and with what, as JSON
GRACE = "dev.gantline.grace_s"  # seconds that it is given to end
HTTP, GRPC = 8000, 8001  # inside
_LAST_PORT = 65535
RESTARTS = "restart_policy"  # in `extra`: the engine starts it again when it or the machine does
TLS = "GANTLINE_TLS_CERTIFICATE"
SHARE = "GANTLINE_SHARE_PORTS"
HARDENED: Mapping[str, Any] = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
_SHARES_SINCE = (0, 1, 0)  # a runtime's version: those before refuse `SHARE`, as they do every variable unknown to them
_OURS = ("GANTLINE_HOST", "GANTLINE_HTTP_PORT", "GANTLINE_GRPC_PORT", SHARE, "PORT")
_KEYS = ("GANTLINE_KEYS", "GANTLINE_NO_AUTH")


@dataclass(frozen=True, slots=True)
class Wish:
    """`port` and `grpc_port` outside, 0: any free one; `host`: on which address; `shared`: in the host's network."""

    name: str
    port: int = HTTP
    grpc_port: int = GRPC
    host: str = "127.0.0.1"
    shared: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    memory: int = 0  # bytes; 0: any
    keys: str = ""  # the folder with its keys file; none: it asks nobody for keys
    extra: Mapping[str, Any] = field(default_factory=dict)  # what a container engine is told besides, as its SDK has it
    grace_s: int = 0  # from SIGTERM to SIGKILL; 0: as long as is usual
    again: bool = False  # without an engine: whatever ends by itself is started anew; an engine is told by `extra`
    joins: bool = False  # another server has its ports now, and gives way when this one is ready
    offers: bool = True  # it can give way to a later one, and take another's place itself
    mark: str = ""  # of the record of its start, by which its containers are known; a name may be another's by then
    anchor: str = ""  # the container whose network, and so whose published ports, it shares

    def __post_init__(self) -> None:
        if clash := next((name for name in _OURS if name in self.variables), None):
            raise UsageError(f"--env {clash}: say where it listens by --port, --grpc-port and --host")
        if self.port and self.port == self.grpc_port:
            raise UsageError(f"--grpc-port {self.port}: the same as --port")
        if self.keys and (clash := next((name for name in _KEYS if name in self.variables), None)):
            raise UsageError(f"--env {clash}: --keys says it")

    @property
    def tls(self) -> bool:
        """Whether it is asked by https."""
        return bool(self.variables.get(TLS))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {**asdict(self), "variables": dict(self.variables), "arguments": list(self.arguments)}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Wish:
        """The same again. BadArtefact for what is none."""
        try:
            return cls(**{**tree, "arguments": tuple(tree["arguments"])})
        except (KeyError, TypeError) as e:
            raise BadArtefact(f"endpoint: its record does not say how it was started ({e})") from e


def beside(port: int) -> int:
    """gRPC's port where only HTTP's was said: the next one; below the last one there is; any for any."""
    return port and (port + 1 if port < _LAST_PORT else port - 1)


def settled(wish: Wish) -> Wish:
    """The same with ports that are free now, for those that were left to choose: a server in the host's network."""
    http = free_port(wish.host, wish.port)
    return replace(wish, port=http, grpc_port=free_port(wish.host, wish.grpc_port, http, "--grpc-port"))


def free_port(host: str, asked: int, but: int = 0, flag: str = "--port") -> int:
    """The port, or any that is free for 0 (`but` one). UsageError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((host, asked))
        except OSError as e:
            if isinstance(e, socket.gaierror) or e.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"--host {host}: {e.strerror}; name an address of this machine") from e
            raise UsageError(f"{host}:{asked}: {e.strerror}; choose another {flag}, or 0 for any free one") from e
        found = int(s.getsockname()[1])
        return found if found != but else free_port(host, asked, but, flag)


def told(wish: Wish, image: Image, name: str, called: str = "") -> dict[str, Any]:
    """What the docker SDK's `containers.create` takes: a root that is read-only, no capabilities, no new privileges.

    `name`: what the image was asked for by; `called`: the container, if not as the endpoint.
    """
    started = {
        "image": name, "image_id": image.id, "package": image.package,
        "model": model(image), "host": wish.host, "port": wish.port, "grpc_port": wish.grpc_port,
        "network": "host" if wish.shared else "anchored" if wish.anchor else "published", "mark": wish.mark,
    }  # fmt: skip
    options: dict[str, Any] = {
        "name": called or wish.name,
        "labels": {NAME: wish.name, STARTED: json.dumps(started, sort_keys=True)},
        "environment": dict(wish.variables),
        **HARDENED,
    }
    options |= wish.extra
    if wish.grace_s:
        options["labels"][GRACE] = str(wish.grace_s)
    if wish.arguments:
        options["command"] = [*(image.settings.get("Cmd") or []), *wish.arguments]
    if wish.memory:
        options["mem_limit"] = wish.memory
    if wish.keys:
        options["environment"] |= keyed(INSIDE)
        options["volumes"] = {wish.keys: {"bind": INSIDE, "mode": "ro,z"}}
    if wish.shared:
        options["network_mode"] = "host"
        options["environment"] |= listening(wish)
    elif wish.anchor:
        options["network_mode"] = f"container:{wish.anchor}"
        options["environment"] |= listening(replace(wish, host="0.0.0.0", port=HTTP, grpc_port=GRPC))
    else:
        options["ports"] = published(wish)
    return options


def published(wish: Wish) -> dict[str, tuple[str, int | None]]:
    """Which ports of a container are where outside, as the docker SDK takes it; None: where the engine likes."""
    outside = {HTTP: wish.port, GRPC: wish.grpc_port}
    return {f"{inside}/tcp": (wish.host, out or None) for inside, out in outside.items()}


def listening(wish: Wish) -> dict[str, str]:
    """The variables that tell a server where to listen: in the host's network, or in an anchor's."""
    found = {
        "GANTLINE_HOST": wish.host,
        "GANTLINE_HTTP_PORT": str(wish.port),
        "GANTLINE_GRPC_PORT": str(wish.grpc_port),
    }
    return found | ({SHARE: "join" if wish.joins else "offer"} if wish.offers else {})


def can_share(image: Image) -> bool:
    """Whether the runtime in an image can have its ports beside another server."""
    parts = image.labels.get(VERSION, "").split(".")
    return len(parts) > 2 and tuple(int(p) if p.isdecimal() else 0 for p in parts[:3]) >= _SHARES_SINCE


def keyed(folder: str) -> dict[str, str]:
    """The variables that tell a server where its keys file is; images are without keys otherwise."""
    return {"GANTLINE_KEYS": f"{folder}/{FILE}", "GANTLINE_NO_AUTH": "false"}


def model(image: Image) -> str:
    """The name of the model in an image of ours. UsageError for any other image."""
    if not image.model:
        raise UsageError(f"image {image.id}: not one that `gantline build` made")
    return image.model
