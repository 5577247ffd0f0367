"""Supplement: what wheels need and the base has not, from the base's own archive, as a layer of its own.

So that an image never fails at its first import: what is in no package is an error here, with who asked for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gantline.errors import BadArtefact, NotFound, Unreachable, Unsupported, VerificationFailed
from gantline.home import home

from . import places
from .base import Base
from .build import Wheels
from .closure import Missing, missing_libraries
from .content import Part
from .deb import Deb
from .debian import Archive, deb_part, names_of
from .download import Downloads
from .entry import Entry
from .memory import Memory


@dataclass(frozen=True, slots=True)
class Supplement:
    """`debs` are for the lock; `notes` for whoever builds."""

    debs: tuple[Deb, ...] = ()
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()


def supplement(
    base: Base,
    wheels: Wheels,
    entries: Sequence[Entry] = (),
    apt: Iterable[str] = (),
    pinned: Sequence[Deb] | None = None,
    mirror: str = "",
    offline: bool = False,
    anew: bool = False,
    allowed: Collection[str] = (),
) -> Supplement:
    """The packages `pinned` by a lock, or else those that are wanted: `apt` by name, others by the libraries they have.

    What was found for the same base and wishes before is taken again, unless `anew`. Libraries that are `allowed` to be
    missing are only told of.

    NotFound, Unreachable, Unsupported name the wheel and the library; BadArtefact where what is pinned is not enough.
    """
    downloads = Downloads(home() / "debian", offline)
    missing, notes = _parted(_missing(base, wheels, entries), allowed)
    wanted = sorted({one.library for one in missing})
    if pinned is not None:
        debs = tuple(pinned)
    elif missing or apt:
        key = ["debs", list(base.diff_ids), wanted, sorted(set(apt)), mirror]
        memory = Memory(home() / "debian", 1)
        if not anew and (rows := memory.recall(key)) is not None:
            debs = tuple(Deb.from_json(row, str(memory.folder)) for row in rows)
        else:
            debs = _resolved(base, missing, wanted, sorted(set(apt)), downloads, mirror, notes)
            memory.keep(key, [one.to_json() for one in debs])
    else:
        return Supplement(notes=tuple(notes))
    if not debs and not missing:
        return Supplement(notes=tuple(notes))
    part, more = deb_part(debs, wanted, base, downloads)
    if still := _parted(_missing(base, wheels, entries, part.entries), allowed)[0]:
        again = "the lock does not have it: lock again" if pinned is not None else _advice(still[0])
        raise BadArtefact(f"{still[0]}, which neither base {base.name} nor its packages have; {again}")
    return Supplement(debs, (part,), (*notes, *more))


def _parted(missing: Sequence[Missing], allowed: Collection[str]) -> tuple[list[Missing], list[str]]:
    """Those that must be found, and what to say of those that need not."""
    notes = [f"{one}: it is not there, as --allow-missing says" for one in missing if one.library in allowed]
    needless = sorted(set(allowed) - {one.library for one in missing})
    notes += [f"--allow-missing {library}: nothing lacks it" for library in needless]
    return [one for one in missing if one.library not in allowed], notes


def _missing(base: Base, wheels: Wheels, entries: Sequence[Entry], debs: Sequence[Entry] = ()) -> list[Missing]:
    if wheels.script is None:
        return list(missing_libraries(base, wheels.runtime, entries, debs=debs))
    found = [*missing_libraries(base, wheels.runtime, (), debs=debs)]
    found += missing_libraries(base, wheels.script, entries, environment=places.SCRIPT_ENVIRONMENT, debs=debs)
    return found


def _resolved(
    base: Base,
    missing: Sequence[Missing],
    wanted: Sequence[str],
    apt: Sequence[str],
    downloads: Downloads,
    mirror: str,
    notes: list[str],
) -> tuple[Deb, ...]:
    try:
        archive = Archive.of(base, downloads, mirror)
        found = archive.resolve(wanted, apt)
    except (NotFound, Unreachable, Unsupported, VerificationFailed) as e:
        if not missing:
            raise
        first = next((one for one in missing if one.library in str(e)), missing[0])
        raise type(e)(f"{first}, which base {base.name} has not; {_advice(first)}: {e}") from e
    notes += archive.notes
    return found


def _advice(missing: Missing) -> str:
    names = names_of(missing.library)
    usual = f" (Debian calls its package {names[0]}, as a rule)" if names else ""
    return (
        f"use a base that has it{usual}, --debian-mirror URL, or --allow-missing {missing.library} if it is never used"
    )
