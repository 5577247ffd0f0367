"""What the trial process runs: load a .skops file, check its indices, ask it for one answer; says JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def without_torch() -> Iterator[None]:
    """As if torch were not installed: skops imports all of scikit-learn, and that torch: seconds, for nothing."""
    sys.meta_path.insert(0, _Hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(_Hidden)


class _Hidden:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch":
            raise ModuleNotFoundError("not now", name=name)


def trial(path: Path, trust: tuple[str, ...]) -> dict[str, Any]:
    """{"untrusted": [...]}, {"error": "..."} or {"ok": true}."""
    with without_torch():
        import skops.io

    from gantline.errors import GantlineError

    from .skops_file import KNOWN
    from .soundness import unsound

    try:
        types = set(skops.io.get_untrusted_types(file=path))
        unknown = sorted(types - KNOWN - set(trust))
        if unknown:
            return {"untrusted": unknown}
        loaded = skops.io.load(path, trusted=sorted(types))
    except Exception as e:
        return {"error": f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"}
    problem = unsound(loaded)
    if problem:
        return {"error": problem}
    with suppress(GantlineError):  # told better by the parent, which sees the same
        _answer(loaded)
    return {"ok": True}


def _answer(loaded: Any) -> None:
    """One answer on made-up rows: what would crash the parent crashes here."""
    from .from_sklearn import study_of
    from .source import Source

    study_of(loaded, Source(name="trial", object=loaded))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(trial(Path(sys.argv[1]), tuple(sys.argv[2:]))) + "\n")
