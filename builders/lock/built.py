"""Built: wheels that were made of source archives, each in a folder by what it was made of and for, with a record."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from gantline.errors import BadArtefact
from gantline.home import home

from .download import no_room
from .solver import Offer
from .sources import bare, local_path
from .target import Target

_RECORD = "source.json"
_LAST = 3  # lines of a log that an error shows
# what build frontends say of a build that failed, whose own words tell more
_AROUND = ("Building wheel from", "error:", "cause:", "hint:")


def folder(source: Offer, *made: object) -> Path:
    """Where the wheel of a source is, if it is there. `made`: for what it is, and in what it is made."""
    text = " ".join(map(str, (source.digest or source.url, *made)))
    return home() / "built" / hashlib.sha256(text.encode()).hexdigest()[:24]


def kept(at: Path) -> Path | None:
    """The wheel in such a folder."""
    return min(at.glob("*.whl"), default=None)


def keep(at: Path, wheel: Path, source: Offer) -> Path:
    """Have the folder appear whole, with the wheel and what it is of; of two processes the first."""
    with tempfile.TemporaryDirectory(prefix=".work.", dir=at.parent) as work:
        whole = Path(work, "whole")
        whole.mkdir()
        shutil.copyfile(wheel, whole / wheel.name)
        record = {"file": source.file, "url": bare(source.url), "digest": source.digest, "size": source.size}
        (whole / _RECORD).write_text(json.dumps(record, sort_keys=True), "utf-8")
        if kept(at) is None:  # what a process that was killed has left; another's wheel may be read at this moment
            shutil.rmtree(at, ignore_errors=True)
        with suppress(OSError):  # another process was first: its wheel is of the same source
            os.rename(whole, at)
    return at / wheel.name if (at / wheel.name).exists() else min(at.glob("*.whl"))


def origin(wheel: Path) -> Offer | None:
    """What a wheel was built of, if it lies in such a folder; without an address, if that is a path on this machine."""
    if wheel.parent.parent != home() / "built":
        return None
    try:
        tree = json.loads((wheel.parent / _RECORD).read_text("utf-8"))
        url = "" if local_path(str(tree["url"])) else str(tree["url"]).partition("?")[0]
        return Offer(str(tree["file"]), url, str(tree["digest"]), int(tree["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # of a release that kept no record


def check(who: str, made: Path, name: str, version: str, source: Offer, target: Target, where: str) -> None:
    """BadArtefact unless a wheel is what was asked for (no `name`, no `version`: any), and runs on the target."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import Version

    try:
        found, number, _, tags = parse_wheel_filename(made.name)
    except InvalidWheelFilename as e:
        raise BadArtefact(f"{who}: built {where} {source.file} is {made.name!r:.200}, which is no wheel's name") from e
    if (name and found != name) or (version and number != Version(version)):
        raise BadArtefact(f"{who}: built {where} {source.file} is {made.name}, and not {name} {version}".rstrip())
    if not any(str(tag) in target.ranks for tag in tags):
        raise BadArtefact(f"{who}: built {where} it is {made.name}, which does not run on {target}")


def failed(who: str, file: str, where: str, text: str, advice: str = "") -> BadArtefact:
    """The error for a build that failed: the last words of its log, and where the whole of it is."""
    every = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    # the build's own words, before what a frontend says of it
    last = [line for line in every if not line.startswith(_AROUND)] or every or ["it says nothing"]
    log = _write_log(file, text)
    return BadArtefact(
        f"{who}: {file} could not be built {where}: {'; '.join(last[-_LAST:])[:500]}; its whole log: {log}{advice}"
    )


def _write_log(file: str, text: str) -> Path:
    log = home() / "build-logs" / f"{Path(file).name}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text, "utf-8")
    except OSError as e:
        raise no_room(log, e) from e
    return log
