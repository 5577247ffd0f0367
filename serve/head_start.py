"""Head start: the first models are opened on threads while the rest of the server is still being imported.

A start is on no critical path but two: Python's imports, which one thread does, and the models' own, most of which is
another process (a script's host) or lets Python go on (onnxruntime). Nothing is answered before the loader takes over.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future

from gantline.settings import Resolved, ServeSettings

from .entry import Entry
from .opening import MAX_LOADING, Opened, open_version, prepare, wanted

# what they import is imported by then: two threads that import the same at once would wait for each other
ENGINES = frozenset({"onnx", "script"})


class HeadStart:
    """Models on their way, each to be taken once; the end of the block closes those that nobody took."""

    def __init__(self, resolved: Resolved[ServeSettings]) -> None:
        self._resolved = resolved
        self._begun: list[tuple[Entry, Future[Opened]]] = []

    def __repr__(self) -> str:
        return f"<HeadStart {[f'{e.name}:{e.version}' for e, _ in self._begun]}>"

    def __enter__(self) -> HeadStart:
        return self

    def __exit__(self, *_: object) -> None:
        while self._begun:
            self._begun.pop()[1].add_done_callback(_close)

    def begin(self, entries: Sequence[Entry]) -> None:
        """Open the first of what the loader will open at the start, as many at once as it would."""
        chosen = choose(entries, self._resolved.settings)
        prepare({e.package.manifest.engine for e in chosen if e.package is not None})
        for entry in chosen:
            future: Future[Opened] = Future()
            self._begun.append((entry, future))
            # a script may take minutes, and nobody is to wait for it when the server cannot start after all
            daemon = entry.package is not None and not entry.package.inline
            threading.Thread(target=self._open, args=(entry, future), name="gantline-start", daemon=daemon).start()

    def take(self, entry: Entry) -> Future[Opened] | None:
        """The opening of this very entry, which is the caller's from now on; None if it was not begun."""
        for at, (begun, future) in enumerate(self._begun):
            if begun is entry:
                del self._begun[at]
                return future
        return None

    def _open(self, entry: Entry, future: Future[Opened]) -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(open_version(entry, self._resolved))
        except BaseException as e:
            future.set_exception(e)


def choose(entries: Sequence[Entry], settings: ServeSettings) -> list[Entry]:
    """Which of them to begin with: none that waits for its first request, none whose engine takes long to import."""
    if settings.load == "on-demand":
        return []
    names = set(wanted(settings, [e.name for e in entries]))
    count: Counter[bool] = Counter()
    chosen = []
    for entry in entries:
        if entry.name not in names or entry.package is None or entry.package.manifest.engine not in ENGINES:
            continue
        count[entry.package.inline] += 1
        if count[entry.package.inline] <= MAX_LOADING:
            chosen.append(entry)
    return chosen


def _close(future: Future[Opened]) -> None:
    if future.exception() is None:
        future.result().session.close()
