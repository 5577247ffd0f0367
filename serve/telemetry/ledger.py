"""Ledger: the statistics of every model version that this process has served; they outlive a reload."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gantline.errors import GantlineError

from ..statistics import Statistics
from .reasons import reason_of
from .snapshot import Snapshot, add, merge, relabelled

MAX_SHOWN = 200  # model versions with rows of their own; the rest is one row, "other"
MAX_UNLOADED = 1000  # versions out of service whose counts are kept (7 kB each), for when they come back
OTHER = {"model": "other", "version": ""}


@dataclass(slots=True)
class Page:
    """One version's statistics. `shown`: whether its rows are its own; it stays so, since counters never go back."""

    statistics: Statistics
    shown: bool


class Ledger:
    """Name and version to statistics. Bounded by what is loaded, and what may be remembered beside it."""

    def __init__(self, loaded: Callable[[str, str], bool]) -> None:
        """`loaded` says whether a name and version serves now."""
        self._loaded = loaded
        self._pages: dict[tuple[str, str], Page] = {}
        self._others: Snapshot = {}  # of pages that were torn out without ever being shown
        self._strangers: Counter[str] = Counter()  # requests that met no model, by reason
        self.measured = True  # false: see Statistics

    def of(self, name: str, version: str) -> Statistics:
        """The statistics to go on with."""
        page = self._pages.pop((name, version), None)
        if page is None:
            self._tear_out()
            page = Page(Statistics(self.measured), sum(p.shown for p in self._pages.values()) < MAX_SHOWN)
        self._pages[name, version] = page  # the last in order: the first is out of use for longest
        return page.statistics

    def kept(self, name: str, version: str) -> Statistics | None:
        """What is remembered of a version, if anything is."""
        page = self._pages.get((name, version))
        return None if page is None else page.statistics

    def known(self, name: str, version: str) -> Statistics:
        """The same, or a clean page, which is not kept."""
        return self.kept(name, version) or Statistics(self.measured)

    def shown(self, name: str, version: str) -> bool:
        """Whether a version has rows of its own."""
        page = self._pages.get((name, version))
        return page is not None and page.shown

    def refused(self, error: GantlineError) -> None:
        """A request asked for a model that is not there, or not ready. Its name is the client's: not ours to keep."""
        self._strangers[reason_of(error)] += 1

    def read(self, out: Snapshot) -> Iterator[None]:
        """Add every version's rows, a step for each, and one for all others."""
        for reason, count in self._strangers.items():
            add(out, "gantline_rejections", count, "", "", reason)
        others = self._others  # added up step by step: there may be many
        for (name, version), page in list(self._pages.items()):
            if page.shown:
                page.statistics.measure(out, name, version)
            else:
                one: Snapshot = {}
                page.statistics.measure(one, name, version)
                others = merge([others, relabelled(one, **OTHER)])
            yield
        for family, rows in others.items():
            out.setdefault(family, []).extend(rows)

    def _tear_out(self) -> None:
        if len(self._pages) <= MAX_UNLOADED:
            return
        # those with rows of their own last: their rows would end, and those of others begin, without end
        unloaded = sorted((k for k in self._pages if not self._loaded(*k)), key=lambda k: self._pages[k].shown)
        for key in unloaded[: max(len(unloaded) - MAX_UNLOADED, 0)]:
            page = self._pages.pop(key)
            if not page.shown:
                one: Snapshot = {}
                page.statistics.measure(one, *key)
                self._others = merge([self._others, relabelled(one, **OTHER)])
