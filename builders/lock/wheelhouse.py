"""Wheelhouse: wheels on this machine's disk, each under its digest, and how those of a lock get there."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Denied, NotFound, Unavailable, VerificationFailed
from gantline.file_lock import only_one
from gantline.home import home

from ..image.wheel import Wheel
from .download import Downloader, no_room
from .listing import find
from .pylock import Lock, Locked
from .sources import Sources, bare, configured, local_path

_STALE_S = 3600.0  # after which nobody writes any more what lies there in part
AT_ONCE = 6  # downloads: past that a server gives no more, and some refuse
# bytes that are there, bytes in all; called by several threads, one at a time
Progress: TypeAlias = Callable[[int, int], None]


def folder_of_wheels() -> Path:
    """Where wheels are kept for this user."""
    return home() / "wheels"


def in_steps(log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """Progress as lines, one in two seconds: none for what is done sooner."""
    last = clock()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= 2.0:
            last = clock()
            log(f"wheels: {done >> 20} of {total >> 20} MiB")

    return tell


def fetch(
    lock: Lock, folder: Path | None = None, offline: bool = False, sources: Sources | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Wheel, ...]:  # fmt: skip
    """The lock's wheels in its order: from `folder`, from directories of wheels, or downloaded into `folder`.

    Where there is a wheelhouse and a network, they are gathered in it, too.
    Unavailable (naming them) when `offline` and some are not here; VerificationFailed for what is not what was locked.
    What was downloaded in part is gone on with at the next call.
    """
    sources = configured() if sources is None else sources
    kept = Wheelhouse(folder or folder_of_wheels(), sources)
    missing = [p for p in lock.packages if not kept.has(p.file, p.digest, p.size) and not kept.take(p)]
    if missing and (offline or sources.offline):
        places = ", ".join(filter(None, [str(kept.root), *map(str, sources.folders)]))
        raise Unavailable(
            f"{len(missing)} of {len(lock.packages)} wheels are not here ({_few(p.file for p in missing)}), and "
            f"--offline keeps from downloading them; looked in {places}"
        )
    kept.download(missing, progress)
    wheels = tuple(Wheel.open(kept.place(p.file, p.digest), p.digest) for p in lock.packages)
    if sources.wheelhouse and not (offline or sources.offline):
        collect(lock, wheels, sources.wheelhouse)
    return wheels


class Wheelhouse:
    """`root/<sha256>/<file>`. A wheel is there whole or not at all."""

    def __init__(self, root: Path, sources: Sources) -> None:
        self.root = root
        self.downloader = Downloader(sources)
        self._sources = sources

    def place(self, file: str, digest: str) -> Path:
        """Where a wheel is, if it is there."""
        return self.root / digest.removeprefix("sha256:") / file

    def has(self, file: str, digest: str, size: int) -> bool:
        """Whether it is there. Its digest was checked when it came."""
        try:
            return self.place(file, digest).stat().st_size == size
        except OSError:
            return False

    def take(self, package: Locked) -> bool:
        """Copy a wheel from where locking put it, or from a directory that has it by name and digest, if one does."""
        url = local_path(package.url) if package.url.startswith("file:") else ""
        locked = folder_of_wheels() / package.digest.removeprefix("sha256:") / package.file
        places = [locked, *([Path(url)] if url else []), *(f / package.file for f in self._sources.folders)]
        for path in places:
            if path.is_file() and path.stat().st_size == package.size and sha256_file(path) == package.digest:
                self._copy(path, package.digest)
                return True
        return False

    def adopt(self, path: Path) -> tuple[str, int]:
        """Copy a wheel that nothing is known of yet: its digest and size. BadArtefact if it cannot be read."""
        try:
            digest, size = sha256_file(path), path.stat().st_size
        except OSError as e:
            raise BadArtefact(f"{path}: cannot be read ({e.strerror})") from e
        if not self.has(path.name, digest, size):
            self._copy(path, digest)
        return digest, size

    def adopt_url(self, url: str, file: str) -> tuple[str, int]:
        """Download a wheel of which the index says no digest, and take what comes."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".unknown.", dir=self.root))
        except OSError as e:
            raise no_room(self.root / file, e) from e
        path = work / file
        try:
            self.downloader.fetch(url, path, 0, lambda step: None)
            return self.adopt(path)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def download(self, packages: Iterable[Locked], progress: Progress) -> None:
        """Fetch from their URLs, several at once; the first error stops the rest where they are."""
        wanted = sorted(packages, key=lambda p: -p.size)  # the longest first, so that none is waited for at the end
        total, done = sum(p.size for p in wanted), 0
        guard = threading.Lock()
        stopped = threading.Event()

        def told(step: int) -> None:
            nonlocal done
            if stopped.is_set():
                raise Unavailable("stopped")
            with guard:
                done += step
                progress(done, total)

        def pause(seconds: float) -> None:
            stopped.wait(seconds)

        downloader = Downloader(self._sources, pause)
        with ThreadPoolExecutor(AT_ONCE, "wheel") as pool:
            running = [pool.submit(self._one, p, downloader, told) for p in wanted]
            try:
                finished, _ = wait(running, return_when=FIRST_EXCEPTION)
                failed = [error for one in finished if (error := one.exception())]
            finally:
                stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
        if failed:
            raise failed[0]

    def _one(self, package: Locked, downloader: Downloader, told: Callable[[int], None]) -> None:
        url = package.url
        if not url.startswith(("http:", "https:")):  # locked from a directory; the same file may be elsewhere too
            url = find(package.name, package.file, package.digest, self._sources, self.downloader)
        if not url:
            where = ", ".join(map(str, self._sources.folders)) or "none is given"
            was = f"was built of {package.source.file}" if package.source else "was locked from a directory"
            raise NotFound(
                f"{package.file}: {was}; pass it with --find-links or --wheelhouse "
                f"(looked in: {where}), or name an index that has it"
            )
        target = self.place(package.file, package.digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with only_one(target.parent / "lock"):
                if self.has(package.file, package.digest, package.size):  # another process has fetched it meanwhile
                    return
                self._fetched(package, url, target, downloader, told)
        except OSError as e:
            raise no_room(target, e) from e

    def _fetched(
        self, package: Locked, url: str, target: Path, downloader: Downloader, told: Callable[[int], None]
    ) -> None:
        part = target.parent / "part"
        begun = part.stat().st_size if part.exists() else 0
        told(begun)
        try:
            downloader.fetch(url, part, package.size, told)
        except (Denied, NotFound) as e:  # it has moved, or its URL was signed for a while
            elsewhere = find(package.name, package.file, package.digest, self._sources, self.downloader)
            if elsewhere in ("", url):
                raise e
            downloader.fetch(elsewhere, part, package.size, told)
        try:
            _settle(part, target, package.digest, url)
        except VerificationFailed:
            if not begun:
                raise
            told(-package.size)  # what an earlier run had left was of something else
            downloader.fetch(url, part, package.size, told)
            _settle(part, target, package.digest, url)

    def _copy(self, path: Path, digest: str) -> None:
        target = self.place(path.name, digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with only_one(target.parent / "lock"):
                if self.has(path.name, digest, path.stat().st_size):
                    return
                part = target.parent / "part"
                shutil.copyfile(path, part)
                _settle(part, target, digest, str(path))
        except OSError as e:
            raise no_room(target, e) from e


def collect(lock: Lock, wheels: Iterable[Wheel], folder: Path) -> int:
    """Copy wheels into a flat directory, to be carried where there is no network; how many were not there yet."""
    made = 0
    sizes = {p.file: p.size for p in lock.packages}
    for wheel in wheels:
        target = folder / wheel.path.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if target.exists() and target.stat().st_size == sizes[target.name] and sha256_file(target) == wheel.digest:
                continue
            _copy_whole(wheel.path, target)
            made += 1
        except OSError as e:
            raise no_room(target, e) from e
    return made


def _copy_whole(path: Path, target: Path) -> None:
    """Have a copy appear whole, under a name of its own until then: others may gather in the same directory."""
    for left in target.parent.glob(f".{target.name}.*.part"):
        with suppress(OSError):  # of a process that was killed
            if time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(path, name)
        os.chmod(name, path.stat().st_mode & 0o777)  # and not 0600, as temporary files are
        os.replace(name, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _settle(part: Path, target: Path, digest: str, url: str) -> None:
    found = sha256_file(part)
    if found != digest:
        part.unlink()
        raise VerificationFailed(f"{bare(url)}: has {found}, the lock says {digest}; nothing was kept")
    with part.open("rb") as f:
        os.fsync(f.fileno())
    os.replace(part, target)
    with suppress(OSError):  # the next to come makes its own
        (target.parent / "lock").unlink()


def _few(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
