"""Rebuilding: an image made anew from the lock and the package that it carries, and compared with itself."""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import gantline
from gantline.errors import BadArtefact, VerificationFailed
from gantline.oci.image import Image
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring
from gantline.packages import Package

from ..image.base import Base, base_within, open_base
from ..image.build import Built, build_image
from ..image.shelf import Shelf
from ..image.supply import Supplier
from ..lock.sources import Sources
from .contents import FILE, Contents
from .record import Record, told_below

_EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """`sources`: where wheels come from whose URLs are none; `base`: the base again, else the image's own layers.

    `wiring`: how a registry that has that base is spoken to.
    """

    store: Store
    sources: Sources
    log: Callable[[str], None]
    base: str = ""
    wiring: Wiring | None = None

    def run(self, image: Image, ref: str) -> Built:
        """Make every layer above the base anew. VerificationFailed names those that came out otherwise."""
        record = Record.of(self.store, image, ref)
        if not told_below(image, record.base):
            raise BadArtefact(
                f"{ref}: an engine made its layers, of a context, say; rebuild the image that was written by "
                "`gantline build`, and compare the two with `gantline diff`"
            )
        base = self._base(image, record)
        with tempfile.TemporaryDirectory(prefix="gantline-rebuild-") as folder:
            package = _package(self.store, image, record, Path(folder, f"{record.manifest.name}.pkg"))
            shelf = Shelf(Store(Path(folder, "store")).prepared(), Path(folder, "layers"))
            with _dated(str(image.config.get("created"))):
                supplies = Supplier(self.sources, self.log, {base.platform: record.lock})(package, base)
                self.log(f"{base.platform}: layers of {len(record.lock.packages)} wheels and the package")
                built = build_image(package, base, supplies, shelf)
        _compare(image, built, record, ref)
        return built

    def _base(self, image: Image, record: Record) -> Base:
        if not self.base:
            self.log(f"{image.platform}: base {record.base}, as the image has it")
            return base_within(image, record.below, record.base, record.lock.python, self.store)
        self.log(f"{image.platform}: base {self.base}")
        found = open_base(self.base, image.platform, self.store, record.lock.python, wiring=self.wiring)
        return replace(found, name=record.base)  # it may be called otherwise here


def _package(store: Store, image: Image, record: Record, target: Path) -> Package:
    """The package that an image carries, as a directory. VerificationFailed where it is not what it says."""
    contents = Contents(store, image)
    wanted: dict[int, set[str]] = {}
    for path, held in contents.paths.items():
        if held.kind == FILE and path.startswith(record.folder + "/"):
            wanted.setdefault(held.layer, set()).add(path)
    for layer, paths in wanted.items():
        for path, file, _ in contents.files(layer, paths):
            at = target / path.removeprefix(record.folder + "/")
            at.parent.mkdir(parents=True, exist_ok=True)
            with at.open("wb") as out:
                shutil.copyfileobj(file, out, 1 << 20)
    package = Package.open(target)
    package.verify_files()
    return package


@contextmanager
def _dated(created: str) -> Iterator[None]:
    """The date of an image is the one of what is built within a block."""
    try:
        moment = datetime.datetime.fromisoformat(created)
    except ValueError as e:
        raise BadArtefact(f"its date {created!r:.60} is none") from e
    before = os.environ.get(_EPOCH)
    os.environ[_EPOCH] = str(int(moment.timestamp()))
    try:
        yield
    finally:
        if before is None:
            del os.environ[_EPOCH]
        else:
            os.environ[_EPOCH] = before


def _compare(image: Image, built: Built, record: Record, ref: str) -> None:
    again = built.image
    if again.id == image.id:
        return
    lines = [str(h.get("created_by")) for h in image.config["history"]]
    had = dict(zip(image.diff_ids, lines, strict=False))
    titles = dict(zip(again.diff_ids, (str(h["created_by"]) for h in again.config["history"]), strict=True))
    other = [title for digest, title in had.items() if digest not in titles]
    other += [title for digest, title in titles.items() if digest not in had]
    what = "; ".join(title[:80] for title in dict.fromkeys(other)) or "its config"
    own = gantline.__version__
    why = f"; Gantline {record.runtime} built it, and this is {own}" if record.runtime != own else ""
    raise VerificationFailed(f"{ref}: rebuilt as {again.id}, and it is {image.id}; what differs: {what}{why}")
