"""From source: a wheel of what an index has as source only, built on this machine for machines like it."""

from __future__ import annotations

import hashlib
import os
import platform as host
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Unsupported, VerificationFailed
from gantline.home import home
from gantline.oci.platforms import Platform

from .download import Downloader, no_room
from .solver import Offer, uv
from .sources import Sources, local_path
from .target import Target

_OF_UV = ("Building wheel from", "error:", "cause:", "hint:")
SECONDS = 3600  # a compiler may take long, and must end


def build_wheel(who: str, source: Offer, target: Target, sources: Sources) -> Path:
    """The wheel, built once for each source archive and Python, and kept. `who` asks for it.

    Unsupported where the target is another kind of machine than this; BadArtefact with what the build printed last.
    """
    check_machine(who, target)
    key = hashlib.sha256(f"{source.digest or source.url} {target}".encode()).hexdigest()[:24]
    folder = home() / "built" / key
    if not any(folder.glob("*.whl")):
        try:
            _into(folder, who, source, sources)
        except OSError as e:
            raise no_room(folder, e) from e
    return min(folder.glob("*.whl"))


def _into(folder: Path, who: str, source: Offer, sources: Sources) -> None:
    """Build beside `folder`, which then appears whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work.", dir=folder.parent) as work:
        archive = Path(work, source.file)
        _obtain(source, archive, sources)
        out = Path(work, "out")
        _build(who, archive, out, sources)
        for junk in out.iterdir():
            if junk.suffix != ".whl":
                junk.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another process was first: its wheel is of the same source
            os.rename(out, folder)


def check_machine(who: str, target: Target) -> None:
    """Unsupported unless what is compiled here runs on the target."""
    here, own = Platform.of_this_machine(), tuple(sys.version_info[:2])
    if sys.platform != "linux" or not here.serves(target.platform) or own != target.python:
        raise Unsupported(
            f"{who}: --build-wheels makes wheels for {here} and Python {own[0]}.{own[1]} (this machine), and the lock "
            f"is for {target}; build the wheel there and pass it with --find-links"
        )
    libc = tuple(int(part) for part in (host.libc_ver()[1] or "0.0").split(".")[:2])
    if libc > target.glibc:
        raise Unsupported(
            f"{who}: what is built here needs glibc {libc[0]}.{libc[1]}, the base has "
            f"{target.glibc[0]}.{target.glibc[1]}; build the wheel on the base's system and pass it with --find-links"
        )


def _obtain(source: Offer, archive: Path, sources: Sources) -> None:
    local = local_path(source.url)
    if local:
        shutil.copyfile(local, archive)
    else:
        Downloader(sources).fetch(source.url, archive, source.size, lambda step: None)
    found = sha256_file(archive)
    if source.digest and found != source.digest:
        raise VerificationFailed(f"{source.url}: has {found}, its index says {source.digest}")


def _build(who: str, archive: Path, out: Path, sources: Sources) -> None:
    words = [uv(), "build", "--wheel", "--python", sys.executable, "--out-dir", str(out), str(archive)]
    words += ["--no-index"] if sources.no_index else []
    # what a compiler writes into its output does not depend on when it was run
    environment = {"SOURCE_DATE_EPOCH": "315532800", **sources.variables(os.environ)}
    try:
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as e:
        raise BadArtefact(f"{who}: {archive.name} was not built within {SECONDS} s") from e
    if done.returncode or not any(out.glob("*.whl")):
        text = (done.stderr or done.stdout).decode("utf-8", "replace")
        every = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        # the build's own words, before what uv says of it
        last = [line for line in every if not line.startswith(_OF_UV)] or every
        raise BadArtefact(f"{who}: {archive.name} could not be built here: {'; '.join(last[-3:])[:500]}")
