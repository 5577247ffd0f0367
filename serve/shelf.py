"""Shelf: where the server's models lie, looked at again whenever one is to be loaded."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from gantline.accelerators.triton.versions import Policy

from gantline.errors import UsageError
from gantline.settings import Resolved, ServeSettings

from .entry import Entry
from .given import PREFIX, write_model
from .repository_layout import Search, find_entries
from .scratch import remove_scratch, sweep

_log = logging.getLogger("gantline.shelf")
_GIVEN = re.compile(rf"{re.escape(tempfile.gettempdir())}/{PREFIX}[^/]*/")


class Shelf:
    """The REFs of one server, with the version policies that its settings have. All methods may block, none loads."""

    def __init__(
        self, refs: Sequence[str], resolved: Resolved[ServeSettings], followed: Collection[int] = ()
    ) -> None:  # fmt: skip
        """`followed`: which of the REFs are moved by an alias, and by nothing else."""
        self.refs = list(refs)
        self._followed = followed
        self.resolved = resolved
        # a directory may be empty for now where models may come later
        self._search = Search(choose=self._policy, patient=resolved.settings.model_control in ("poll", "explicit"))
        self._policies = lru_cache(256)(self._settle)  # what config.pbtxt files say may be many things
        self.first_stamps: dict[str, str] = {}  # of what was there when `entries` looked
        self._parents = _parents(self.refs)

    def entries(self) -> list[Entry]:
        """What is there. BadArtefact or UsageError where the REFs or the default model make no sense."""
        if self.resolved.settings.model_control == "poll":
            # before they are looked at for good: what changes in between shows later
            self.first_stamps = self.scan()
        found = find_entries(self.refs, self._search)
        settings, names = self.resolved.settings, {e.name for e in found}
        if settings.default and not self._search.patient:  # `/score` would be answered 404 for ever
            _known("default", settings.default, names)
        for name in settings.models_to_load:
            if name != "*":
                _known("load_model", name, names)
        return found

    def find(self, name: str, config: str = "", files: dict[str, str] | None = None) -> tuple[list[Entry], Path | None]:
        """One model as it lies there now; no entries when it does not.

        With `files` (path -> base64) it lies in a temporary directory, which is returned and the caller's to remove.
        """
        search = replace(self._search, only=name, config=config, patient=False)
        if not files:
            return find_entries(self.refs, search), None
        folder = write_model(name, config, files)
        try:
            return find_entries([str(folder / name)], search), folder
        except BaseException:
            remove_scratch(folder)
            raise

    def scan(self) -> dict[str, str]:
        """For the name of each model that is there, something that changes when any of its files does."""
        refs = [ref for at, ref in enumerate(self.refs) if at not in self._followed]
        places = {e.name: e.place for e in find_entries(refs, self._search)}
        return {name: stamp(place) for name, place in places.items() if place is not None}

    def move(self, at: int, place: str) -> str:
        """Let a REF, by its number, stand for another path from now on; the one that it stood for."""
        before, self.refs[at] = self.refs[at], place
        self._parents = _parents([*self.refs, before])  # an error may tell of either
        return before

    def shown(self, message: str) -> str:
        """An error as a client may see it: paths begin at the REF."""
        message = _GIVEN.sub("", message)
        for parent in self._parents:
            message = message.replace(f"{parent}/", "")
        return message

    def _policy(self, name: str, said: str) -> Policy:
        if name not in self.resolved.models:  # without a table of its own: a thousand models have the same
            name = ""
        return self._policies(name, said)

    def _settle(self, name: str, said: str) -> Policy:
        found = self.resolved.model(name, None, {"versions": said} if said else {}).settings
        return Policy(found.versions, found.default_version)


def look(
    resolved: Resolved[ServeSettings], refs: Sequence[str], followed: Collection[int] = ()
) -> tuple[list[Entry], Shelf]:
    """What lies at `refs` now, and where to look again when a model is to be loaded anew."""
    for left in sweep():
        _log.info("removed %s, which a process that is gone had left", left)
    shelf = Shelf(refs, resolved, followed)
    return shelf.entries(), shelf


def _parents(refs: Sequence[str]) -> list[str]:
    """What comes before a REF's own name in its path, the longest first."""
    found = {str(p) for ref in refs for p in (Path(ref).parent, Path(ref).parent.resolve())} - {".", "/"}
    return sorted(found, key=len, reverse=True)


def _known(setting: str, name: str, names: set[str]) -> None:
    if name in names:
        return
    close = get_close_matches(name, names, 1, 0.5)
    raise UsageError(
        f"{setting} '{name}': no such model in what is served; "
        + (f"did you mean '{close[0]}'?" if close else f"there is {', '.join(sorted(names)[:8])}")
    )


def stamp(place: Path) -> str:
    """A digest over path, size, time of change and inode of a file, or of all files in a directory."""
    state = hashlib.sha256()
    # an .onnx file's weights may lie beside it
    try:
        paths = _walk(place) if place.is_dir() else [place, Path(f"{place}.data"), Path(f"{place}_data")]
    except OSError:  # a directory that went while it was looked at: what is there next time counts
        return f"gone {time.monotonic_ns()}"
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        state.update(os.fsencode(path) + f"\0{found.st_size} {found.st_mtime_ns} {found.st_ino}\n".encode())
    return state.hexdigest()


def _walk(root: Path) -> list[Path]:
    """All files, through links to directories too: that is how some systems publish."""
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()  # a link to a directory above
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [Path(folder, name) for name in sorted(files)]
    return found
