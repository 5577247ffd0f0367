"""Archives: of what is there as source only, the one to build."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from .asked import Asked
from .download import Downloader
from .listing import file_of, offered
from .solver import Offer
from .sources import Sources

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version


def newest(
    name: str, versions: str, asked: Sequence[Asked], sources: Sources, downloader: Downloader,
    but: Collection[tuple[str, str]] = (),
) -> tuple[str, Offer] | None:  # fmt: skip
    """The version and the archive of the newest that all lines and `versions` (`>=1,<2`) take; releases come first.

    `but`: names and versions that were tried. Of a line with hashes only what has one of them is taken, or of which
    no digest is told.
    """
    rules = [_specifiers(versions), *(_of_line(one.requirement) for one in asked if one.name == name)]
    hashes = {digest for one in asked if one.name == name for digest in one.hashes}
    fitting = [
        (version, offer)
        for version, offer in _archives(name, sources, downloader).items()
        if (name, str(version)) not in but
        and all(rule.contains(version, prereleases=True) for rule in rules)
        and (not hashes or not offer.digest or offer.digest in hashes)
    ]
    if not fitting:
        return None
    version, offer = max(fitting, key=lambda one: (sources.prereleases or not one[0].is_prerelease, one[0]))
    return str(version), offer


def _archives(name: str, sources: Sources, downloader: Downloader) -> dict[Version, Offer]:
    """Each version's source archive: the first of several."""
    from packaging.utils import InvalidSdistFilename, parse_sdist_filename

    found: dict[Version, Offer] = {}
    for url, digest in offered(name, sources, downloader):
        file = file_of(url)
        try:
            project, version = parse_sdist_filename(file)
        except InvalidSdistFilename:
            continue
        if project == name:
            found.setdefault(version, Offer(file, url, digest))
    return found


def _specifiers(text: str) -> SpecifierSet:
    """Any version, where the text says none."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()


def _of_line(line: str) -> SpecifierSet:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line).specifier
    except InvalidRequirement:
        return _specifiers("")
