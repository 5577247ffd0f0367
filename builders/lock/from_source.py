"""From source: a wheel of what an index has as source only, built on this machine for machines like it."""

from __future__ import annotations

import os
import platform as host
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Unsupported, VerificationFailed
from gantline.oci.platforms import Platform

from . import built
from .download import Downloader, no_room
from .solver import Offer, uv
from .sources import Sources, bare, local_path
from .target import Target

SECONDS = 3600  # a compiler may take long, and must end


def build_wheel(who: str, source: Offer, target: Target, sources: Sources, address: str = "") -> Path:
    """The wheel, built once for each source archive and Python, and kept. `who` asks for it.

    `address`: what the lock says of where it is from, if that is not where the archive is.

    Unsupported where the target is another kind of machine than this; BadArtefact with what the build printed last.
    """
    check_machine(who, target)
    at = built.folder(source, target)
    try:
        return built.kept(at) or _made(at, who, source, sources, address or source.url)
    except OSError as e:
        raise no_room(at, e) from e


def _made(at: Path, who: str, source: Offer, sources: Sources, address: str) -> Path:
    at.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work.", dir=at.parent) as work:
        archive = Path(work, source.file)
        source = obtain(source, archive, sources)
        out = Path(work, "out")
        _build(who, archive, out, sources)
        return built.keep(at, min(out.glob("*.whl")), replace(source, url=address))


def check_machine(who: str, target: Target) -> None:
    """Unsupported unless what is compiled here runs on the target."""
    here, own = Platform.of_this_machine(), tuple(sys.version_info[:2])
    if sys.platform != "linux" or not here.serves(target.platform) or own != target.python:
        raise Unsupported(
            f"{who}: --build-wheels makes wheels for {here} and Python {own[0]}.{own[1]} (this machine), and the lock "
            f"is for {target}; build the wheel there and pass it with --find-links, or start a container engine"
        )
    libc = tuple(int(part) for part in (host.libc_ver()[1] or "0.0").split(".")[:2])
    if libc > target.glibc:
        raise Unsupported(
            f"{who}: what is built here needs glibc {libc[0]}.{libc[1]}, the base has "
            f"{target.glibc[0]}.{target.glibc[1]}; build the wheel on the base's system and pass it with --find-links"
        )


def obtain(source: Offer, archive: Path, sources: Sources) -> Offer:
    """Bring a source archive here; what it is, with its digest. VerificationFailed if that is another than said."""
    local = local_path(source.url)
    if local:
        shutil.copyfile(local, archive)
    else:
        Downloader(sources).fetch(source.url, archive, source.size, lambda step: None)
    found = sha256_file(archive)
    if source.digest and found != source.digest:
        raise VerificationFailed(f"{bare(source.url)}: has {found}, its index says {source.digest}")
    return replace(source, digest=found, size=archive.stat().st_size)


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
        raise built.failed(who, archive.name, "here", text)
