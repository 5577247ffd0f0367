"""Journal: what control has changed since the start, for workers that start later. Pure bookkeeping."""

from __future__ import annotations

from typing import Any, NamedTuple

from gantline.errors import Unavailable

from ..control import Effect

MAX_SUBJECTS = 10_000


class Change(NamedTuple):
    """A verb that was done, to be done again in a worker that was not there."""

    verb: str
    arguments: dict[str, Any]


class Journal:
    """The last change of each subject (a model, a setting): it makes those before it not matter."""

    def __init__(self) -> None:
        self._changes: dict[str, Change] = {}

    def __repr__(self) -> str:
        return f"<Journal {self._changes}>"

    def check(self, effect: Effect) -> None:
        """Unavailable when there is no room for another subject."""
        if not effect.undoes and effect.subject not in self._changes and len(self._changes) >= MAX_SUBJECTS:
            raise Unavailable(f"{MAX_SUBJECTS} different things were changed since the start: restart the server")

    def record(self, effect: Effect, change: Change) -> None:
        """A change was made."""
        subject = effect.subject
        self._changes.pop(subject, None)  # to the end: changes are replayed in their order
        if not effect.undoes:
            self._changes[subject] = change
        elif subject.endswith(":"):
            self._changes = {s: c for s, c in self._changes.items() if not s.startswith(subject)}

    def subjects(self) -> list[str]:
        """What was changed, in the order of the last changes."""
        return list(self._changes)

    def last(self, subject: str) -> Change | None:
        """The last change of a subject; None when it has been undone."""
        return self._changes.get(subject)
