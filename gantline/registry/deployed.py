"""Deployed: the record of what an endpoint's deployments run, for packages that the registry knows."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sqlalchemy import or_, select

from ..errors import GantlineError, NotFound
from . import tables
from .registry import Registry

# places that are this machine's, where others have endpoints of the same names, as `gantline deploy --to` calls them
_HERE = {"engine": "docker", "process": "process"}


class Deployment(Protocol):
    """One image behind an endpoint, and the digest of the package in it, as far as that is known."""

    @property
    def name(self) -> str: ...

    @property
    def image_id(self) -> str: ...

    @property
    def package(self) -> str: ...


class Endpoint(Protocol):
    """What was started or described under a name, and in which kind of place."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str: ...

    @property
    def deployments(self) -> Sequence[Deployment]: ...


class Deployments:
    """What a registry is told of endpoints that start, change and end. It is no reason for them to fail."""

    def __init__(self, where: str = "", say: Callable[[str], None] = lambda line: None) -> None:
        """`where`: as for `Registry.open`; `say` is told why something could not be recorded."""
        self._where = where
        self._say = say

    def run(self, endpoint: Endpoint) -> None:
        """It runs these packages, and no longer what it ran."""
        found = {_name(endpoint, one): (one.package, one.image_id) for one in endpoint.deployments}
        self._told(endpoint, lambda registry: _record(registry, found, _HERE.get(endpoint.place, endpoint.place)))

    def ended(self, endpoint: Endpoint) -> None:
        """It runs no more."""
        names = [_name(endpoint, one) for one in endpoint.deployments]
        self._told(endpoint, lambda registry: [registry.retire(name) for name in names])

    def _told(self, endpoint: Endpoint, tell: Callable[[Registry], object]) -> None:
        try:
            with Registry.open(self._where or None) as registry:
                tell(registry)
        except NotFound:
            pass  # no registry, which an endpoint is no reason to make
        except GantlineError as e:
            self._say(f"endpoint {endpoint.name}: what it runs is not recorded: {e.message}")


def _name(endpoint: Endpoint, one: Deployment) -> str:
    at = f"@{socket.gethostname()}" if endpoint.place in _HERE else ""
    return f"{endpoint.name}/{one.name}{at}"


def record_deployed(endpoint: str, images: Mapping[str, str], target: str, where: str = "") -> list[str]:
    """Note each deployment's image (by name, digest or both); the deployments that were noted.

    An image that was not built, or not recorded, here leads to no package, and without a registry nothing does. An
    error says that the endpoint is described all the same.
    """
    try:
        with Registry.open(where or None) as registry:
            found = {f"{endpoint}/{name}": _package(registry, image) for name, image in images.items()}
            return [name.removeprefix(f"{endpoint}/") for name in _record(registry, found, target)]
    except NotFound:  # no registry, which a description is no reason to make
        return []
    except GantlineError as e:
        raise type(e)(f"{endpoint} is described, and not recorded (--no-record leaves that out): {e.message}") from e


def _record(registry: Registry, found: Mapping[str, tuple[str, str]], target: str) -> list[str]:
    """From deployments to the package and the image of each; those whose package the registry knows are noted."""
    noted = []
    for name, (package, image) in found.items():
        if package and _known(registry, package):
            registry.record_deployment(name, package, target=target, image=image)
            noted.append(name)
        else:
            registry.retire(name)  # what it ran before, it does not run any more
    return noted


def _known(registry: Registry, package: str) -> bool:
    with registry.database.reading() as connection:
        columns = (tables.packages.c.digest, tables.images.c.package)
        return any(connection.execute(select(c).where(c == package).limit(1)).first() for c in columns)


def _package(registry: Registry, image: str) -> tuple[str, str]:
    """The package and the digest of an image; of several builds under one name, the last."""
    name, _, digest = image.partition("@")
    i = tables.images.c
    meant = or_(i.digest == digest, i.id == digest) if digest else i.name == name
    with registry.database.reading() as connection:
        row = connection.execute(select(i.package, i.digest).where(meant).order_by(i.created.desc())).first()
    return (row.package, row.digest) if row is not None else ("", "")
