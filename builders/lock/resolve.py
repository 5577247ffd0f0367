"""Resolve: from a package to the lock of its image's environment on one platform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantline.errors import BadArtefact, GantlineError
from gantline.oci.platforms import Platform
from gantline.packages import Package

from . import built
from .asked import RUNTIME, SCRIPT, Asked
from .choice import best
from .download import Downloader
from .from_source import build_wheel
from .making import Making
from .pylock import Lock, Locked
from .refusals import explain, source_only
from .request import check_python, everything, for_script
from .solver import Offer, Refused, Solved, solve
from .sources import Sources, configured, local_path
from .target import GLIBC, Target
from .wheelhouse import Wheelhouse, fetch, folder_of_wheels

if TYPE_CHECKING:
    from ..image.base import Base

AT_ONCE = 6  # questions about sizes, and downloads of wheels that an index says nothing of


def lock_package(
    package: Package, platform: Platform, python: tuple[int, int], glibc: tuple[int, int] = GLIBC,
    sources: Sources | None = None, tell: Callable[[str], None] = lambda line: None, base: Base | None = None,
) -> Lock:  # fmt: skip
    """Resolve what the package and the runtime ask for, together; apart where together there is no answer.

    `glibc` is the base's, (0, 0) if it has none. `sources` None: what pip and uv are configured with. `base`: in which
    wheels are built of what has none, where that is asked for; None: the default one.
    Errors name the requirement line. BadArtefact: it cannot be had; Unreachable, Denied: an index; Unsupported: the
    platform.
    """
    target = Target(platform, python, glibc)
    check_python(package, python)
    asked, sources = everything(package, configured() if sources is None else sources)
    sources = _closed(sources)
    for one in asked:
        if one.is_source and not (sources.build is not None and one.buildable) and one.applies(target):
            raise source_only(one.name, [one])

    if package.manifest.script is not None and package.manifest.environment.kind == "current":
        tell(f"{package.name} asks for no environment: locked to what it was packaged with: {_listed(asked)}")
    with Making(target, sources, base, _tools, tell, package.manifest.tried) as making:
        return _resolved(asked, target, making, tell)


def _resolved(asked: list[Asked], target: Target, making: Making, tell: Callable[[str], None]) -> Lock:
    def refusal(found: Refused, lines: Sequence[Asked]) -> GantlineError:
        return explain(found.text, lines, target, making.sources, Downloader(making.sources).allowed)

    together = making.solve(asked)
    if not isinstance(together, Refused):
        return _locked({RUNTIME: together}, asked, target, making.sources, tell)
    why = refusal(together, asked)
    if not isinstance(why, BadArtefact) or not any(one.group == SCRIPT for one in asked):
        raise why
    # the shorter list first: what is wrong with it by itself is told without the other
    alone = {}
    for group, lines in ((SCRIPT, for_script(asked)), (RUNTIME, [one for one in asked if one.group == RUNTIME])):
        found = making.solve(lines)
        if isinstance(found, Refused):
            raise refusal(found, lines)
        alone[group] = found
    tell(f"two environments: {why}")
    numpy = [one for one in for_script(asked) if one not in asked]
    return _locked(alone, [*asked, *numpy], target, making.sources, tell)


def _tools(lines: Sequence[Asked], target: Target, sources: Sources) -> tuple[Path, ...]:
    """The wheels of what a build needs; none of them is built itself."""
    found = solve(lines, target, sources)
    if isinstance(found, Refused):
        raise explain(found.text, lines, target, sources, Downloader(sources).allowed)
    lock = _locked({RUNTIME: found}, lines, target, sources, lambda line: None)
    return tuple(wheel.path for wheel in fetch(lock, sources=sources))


def _closed(sources: Sources) -> Sources:
    """Without a network, a wheelhouse is all that there is."""
    return replace(sources, no_index=True) if sources.offline and sources.wheelhouse else sources


def _listed(asked: Sequence[Asked]) -> str:
    return "; ".join(f"{one.shown} ({one.origin})" for one in asked if one.group == SCRIPT) or "nothing but what serves"


def _locked(
    found: dict[str, tuple[Solved, ...]], asked: Sequence[Asked], target: Target, sources: Sources,
    tell: Callable[[str], None],
) -> Lock:  # fmt: skip
    kept = Wheelhouse(folder_of_wheels(), sources)
    packages: dict[tuple[str, str], Locked] = {}
    for group, solved in sorted(found.items()):
        with ThreadPoolExecutor(AT_ONCE, "lock") as pool:
            for one in pool.map(lambda s: _pinned(s, target, sources, kept), solved):
                before = packages.get((one.name, one.file))
                groups = (*before.groups, group) if before else (group,)
                lines = {*one.asked, *(before.asked if before else ())}
                packages[one.name, one.file] = replace(one, groups=groups, asked=tuple(sorted(lines)))
    ordered = tuple(packages[key] for key in sorted(packages))
    told = tuple(sorted(dict.fromkeys(asked), key=lambda a: (a.group, a.line, a.origin)))
    if cuda := [one for one in ordered if one.name.startswith("nvidia-")]:
        tell(
            f"{target.platform}: {sum(one.size for one in cuda) >> 20} MiB of wheels are NVIDIA's, for a GPU: "
            f"{cuda[0].asked[0]} led to {cuda[0].name}; a build for CPUs (xgboost-cpu, torch from its index) has none"
        )
    return Lock(target, ordered, told, _remote(sources), len(found) > 1)


def _remote(sources: Sources) -> tuple[str, ...]:
    """The indexes that others can ask too: a directory of this machine says nothing to anybody else."""
    return tuple(index for index in sources.indexes if not local_path(index))


def _pinned(solved: Solved, target: Target, sources: Sources, kept: Wheelhouse) -> Locked:
    """The one wheel that the image gets, with digest and size."""
    hashes = [h for one in solved.by if one.name == solved.name for h in one.hashes]
    offer = best(solved.wheels, target, hashes)
    if offer is None:
        offer = _made(solved, hashes, target, sources)
    digest, size, url = offer.digest, offer.size, offer.url
    local, source = local_path(url), None
    if local:
        digest, size = kept.adopt(Path(local))
        source = built.origin(Path(local))
        url = ""
        if offer.digest and offer.digest != digest:
            raise BadArtefact(f"{local}: has {digest}, its index says {offer.digest}; delete one of them")
    else:
        if digest and not size:
            size = kept.downloader.size(url)
        if not (digest and size):
            digest, size = kept.adopt_url(url, offer.file)
    if hashes and digest not in hashes and not (source is not None and source.digest in hashes):
        raise BadArtefact(f"{_who(solved)}: {offer.file} has {digest}, which is none of the hashes asked for")
    # what follows a `?` is often a signature that ends within the hour; without it, the file is found by its digest
    url = url.partition("?")[0]
    by = tuple(_shown(solved.by))
    return Locked(solved.name, solved.version, offer.file, digest, size, url, asked=by, source=source)


def _made(solved: Solved, hashes: Sequence[str], target: Target, sources: Sources) -> Offer:
    """A wheel built here, or the error that says why there is none."""
    usable = best(solved.wheels, target)
    if usable is not None:
        raise BadArtefact(
            f"{_who(solved)}: no wheel of {solved.name} {solved.version} for {target} has one of the {len(hashes)} "
            f"hashes asked for ({usable.file} has {usable.digest or 'none that the index says'})"
        )
    if solved.source is None or not solved.source.file or sources.build is None:
        raise source_only(solved.name, solved.by)
    path = build_wheel(_who(solved), solved.source, target, sources)
    built.check(_who(solved), path, solved.name, solved.version, solved.source, target, "here")
    return Offer(path.name, path.as_uri())


def _who(solved: Solved) -> str:
    return " and ".join(map(str, solved.by[:3])) or f"'{solved.name}'"


def _shown(lines: Iterable[Asked]) -> list[str]:
    return sorted({f"{one.shown} ({one.origin})" for one in lines})
