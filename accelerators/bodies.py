"""Bodies: golden samples of /score: a body sent to a scoring script, and how its answer compares with the one kept.

JSON is compared by structure: numbers with a fraction within the tolerance, all else (whole numbers among it, which may
be labels) exactly; keys may come in another order. Anything else is compared byte for byte.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantline.errors import ScriptFailed, VerificationFailed
from gantline.manifest import Golden

from .agreement import Difference
from .script.engine import Scored, ScriptEngine
from .session import Session

BODY = "body"
_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*")


def score(session: Session, body: bytes, content_type: str) -> Scored:
    """The script's answer to a body. VerificationFailed unless its status is 200 (whole, or streamed)."""
    engine = session.program
    name = session.package.name
    if not isinstance(engine, ScriptEngine) or engine.contract != "azure":
        raise VerificationFailed(f"model '{name}': a sample for /score, and no script with init() and run()")
    found = engine.score(body, content_type)
    if found.status != 200:
        why = f": {found.why}" if found.why else ""
        raise VerificationFailed(f"model '{name}': the sample was answered with status {found.status}{why}")
    return found


def warm_up(session: Session, golden: Golden) -> None:
    """Send a sample once. ScriptFailed when the script does not answer it with 200."""
    try:
        score(session, read(session.package.path, golden.request), golden.content_type)
    except VerificationFailed as e:
        raise ScriptFailed(e.message) from e


def replay(session: Session, golden: Golden) -> Difference:
    """Send a sample again and compare. VerificationFailed names the file and the first place that does not hold."""
    root = session.package.path
    body, want = read(root, golden.request), read(root, golden.reply)
    where = root / golden.request
    try:
        found = score(session, body, golden.content_type)
    except VerificationFailed as e:
        raise VerificationFailed(f"{where}: replayed, {e.message}") from e
    if found.streamed:
        raise VerificationFailed(f"{where}: replayed, the script streams its answer; {golden.reply} is a whole one")
    problem, max_abs, max_rel = compare(want, found.body, golden.rtol, golden.atol)
    if problem:
        raise VerificationFailed(f"{where}: replayed, {problem}")
    return Difference(BODY, 1, max_abs, max_rel)


def read(root: Path, path: str) -> bytes:
    """A sample's file. VerificationFailed names one that cannot be read."""
    try:
        return (root / path).read_bytes()
    except OSError as e:
        raise VerificationFailed(f"{root / path}: cannot be read: {e.strerror}") from e


def compare(want: bytes, got: bytes, rtol: float, atol: float) -> tuple[str, float, float]:
    """The first place that differs, in words (empty when none does), and the largest absolute and relative error.

    |got - want| may be `atol`, and beyond that `rtol` of |want|.
    """
    if want == got:
        return "", 0.0, 0.0
    a = parsed(want)
    if a is None:
        at = next((i for i, (x, y) in enumerate(zip(want, got, strict=False)) if x != y), min(len(want), len(got)))
        return f"byte {at} of the answer differs ({len(want)} bytes expected, got {len(got)})", math.inf, math.inf
    b = parsed(got)
    if b is None:
        return f"the answer is not JSON any longer: {got[:60].decode('utf-8', 'replace')!r}", math.inf, math.inf
    max_abs = max_rel = 0.0
    for place, error, relative, detail in _differences("$", a[0], b[0], atol):
        if relative > rtol:
            return f"{place}: {detail}", error, relative
        max_abs, max_rel = max(max_abs, error), max(max_rel, relative)
    return "", max_abs, max_rel


def parsed(body: bytes) -> tuple[Any] | None:
    """The one value of a JSON body (which may be null, hence the tuple), or None for what is not JSON."""
    try:
        return (json.loads(body),)
    except (ValueError, RecursionError):
        return None


def _differences(place: str, want: Any, got: Any, atol: float) -> Iterator[tuple[str, float, float, str]]:
    """Every place that differs: its JSON path, absolute and relative error (infinite unless numbers), words."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in want:
            if key in got:
                yield from _differences(_inside(place, key), want[key], got[key], atol)
            else:
                yield _inside(place, key), math.inf, math.inf, "missing"
        for key in got.keys() - want.keys():
            yield _inside(place, key), math.inf, math.inf, "not in the answer that was recorded"
    elif isinstance(want, list) and isinstance(got, list):
        for i, (one, other) in enumerate(zip(want, got, strict=False)):
            yield from _differences(f"{place}[{i}]", one, other, atol)
        if len(want) != len(got):
            yield place, math.inf, math.inf, f"expected {len(want)} elements, got {len(got)}"
    else:
        error, relative = _error(want, got, atol)
        if relative or error:
            yield place, error, relative, f"expected {_short(want)}, got {_short(got)}"


def _error(want: Any, got: Any, atol: float) -> tuple[float, float]:
    fractions = type(want) is float or type(got) is float
    if not (fractions and {type(want), type(got)} <= {int, float}):
        same = type(want) is type(got) and want == got
        return (0.0, 0.0) if same else (math.inf, math.inf)
    if want == got or (want != want and got != got):  # NaN agrees with NaN
        return 0.0, 0.0
    try:
        error = abs(float(got) - float(want))
    except OverflowError:
        return math.inf, math.inf
    if not math.isfinite(error):
        return math.inf, math.inf
    over = max(error - atol, 0.0)
    size = abs(float(want))
    return error, over / size if size else math.inf if over else 0.0


def _inside(place: str, key: str) -> str:
    return f"{place}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{place}[{json.dumps(key)}]"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
