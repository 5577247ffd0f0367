"""Covering: whether a lock that a user gives has what a package asks for: it may be another's, or an old one."""

from __future__ import annotations

from gantline.errors import UsageError
from gantline.packages import Package

from .asked import Asked, normalised
from .pylock import Lock
from .request import everything
from .sources import Sources


def check_covers(lock: Lock, package: Package, sources: Sources) -> None:
    """UsageError names the line that the lock does not meet.

    A script that asks for no environment is served by whatever it was locked to.
    """
    if package.manifest.script is not None and package.manifest.environment.kind == "current":
        return
    asked, _ = everything(package, sources)
    for one in asked:
        if why := _lacking(lock, one):
            raise UsageError(f"the lock does not have what {one} asks for: {why}; lock again: gantline lock")


def _lacking(lock: Lock, one: Asked) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(one.requirement)
    except InvalidRequirement:  # a bare URL: the name alone, if it says one
        wanted = None
    if wanted is not None and wanted.marker is not None and not wanted.marker.evaluate(lock.target.variables):
        return ""
    group = one.group if lock.apart else ""
    found = [p.version for p in lock.packages if normalised(p.name) == one.name and (not group or group in p.groups)]
    if not one.name or (one.bound and not found):
        return ""
    if found and (wanted is None or wanted.specifier.contains(found[0], prereleases=True)):
        return ""
    return f"it has {one.name} {found[0]}" if found else f"it has no {one.name}"
