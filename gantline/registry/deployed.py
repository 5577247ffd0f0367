"""Deployed: the record of what an endpoint's deployments run, for images whose package the registry knows."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import or_, select

from ..errors import GantlineError, NotFound
from . import tables
from .registry import Registry


def record_deployed(endpoint: str, images: Mapping[str, str], target: str, where: str = "") -> list[str]:
    """Note each deployment's image (by name, digest or both); the deployments that were noted.

    An image that was not built, or not recorded, here leads to no package, and without a registry nothing does. An
    error says that the endpoint is described all the same.
    """
    try:
        with Registry.open(where or None) as registry:
            found = {name: _package(registry, image) for name, image in images.items()}
            for name, (package, digest) in found.items():
                if package:
                    registry.record_deployment(f"{endpoint}/{name}", package, target=target, image=digest)
            return [name for name, (package, _) in found.items() if package]
    except GantlineError as e:
        raise type(e)(f"{endpoint} is described, and not recorded (--no-record leaves that out): {e.message}") from e


def _package(registry: Registry, image: str) -> tuple[str, str]:
    """The package and the digest of an image; of several builds under one name, the last."""
    name, _, digest = image.partition("@")
    i = tables.images.c
    meant = or_(i.digest == digest, i.id == digest) if digest else i.name == name
    try:
        with registry.database.reading() as connection:
            row = connection.execute(select(i.package, i.digest).where(meant).order_by(i.created.desc())).first()
    except NotFound:  # no registry, which a description is no reason to make
        row = None
    return (row.package, row.digest) if row is not None else ("", "")
