"""Repository: the tree of one commit of git's, as a source archive that depends on nothing but the tree.

It is fetched here, by the user's git, so that keys and passwords stay here; what is built of it sees the tree alone.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Denied, GantlineError, Unavailable, Unreachable, Unsupported
from gantline.home import home

from .asked import without_user
from .download import no_room
from .solver import Offer
from .sources import Sources, bare

SECONDS = 600  # for all that a repository has
_PROTOCOLS = "https:http:ssh:git:file"
_KINDS = ("git+https", "git+http", "git+ssh", "git+git", "git+file")
_REF = re.compile(r"[A-Za-z0-9][\w./+-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DENIED = re.compile(r"Authentication failed|could not read (Username|Password)|Permission denied|\b40[13]\b")
_NOBODY = re.compile(r"Could not (resolve|connect)|Failed to connect|Connection (refused|timed out)")
_ABSENT = re.compile(r"couldn't find remote ref|not our ref|unknown revision|Needed a single revision|not found")


@dataclass(frozen=True, slots=True)
class Repository:
    """`ref`: a commit, tag or branch, empty for the newest of the main one. `folder`: the part that is wanted."""

    url: str
    ref: str = ""
    folder: str = ""

    @classmethod
    def parse(cls, address: str, who: str) -> Repository:
        """From `git+URL[@REF][#subdirectory=FOLDER]`. BadArtefact for another kind of address."""
        parts = urlsplit(address)
        path, mark, ref = parts.path.rpartition("@")
        more = dict(part.partition("=")[::2] for part in parts.fragment.split("&"))
        folder = more.get("subdirectory", "").strip("/")
        if parts.scheme not in _KINDS or (mark and not _REF.fullmatch(ref)) or ".." in folder.split("/"):
            raise BadArtefact(f"{who}: no address of a repository: git+https://HOST/PATH@COMMIT[#subdirectory=FOLDER]")
        plain = parts._replace(scheme=parts.scheme.removeprefix("git+"), path=path or ref, query="", fragment="")
        return cls(urlunsplit(plain), ref if mark else "", folder)

    def at(self, commit: str) -> str:
        """The address of a commit, without anybody's password."""
        return f"git+{bare(self.url)}@{commit}" + (f"#subdirectory={self.folder}" if self.folder else "")


def fetched(
    repository: Repository, who: str, sources: Sources, tell: Callable[[str], None]
) -> tuple[Offer, str]:  # fmt: skip
    """Its archive on this machine, and the address of the commit that it is of. `who` asks for it.

    Unsupported without git; Denied, Unreachable; BadArtefact for what it has not; Unavailable when `offline`.
    """
    try:
        exact = repository.ref if _COMMIT.fullmatch(repository.ref) else ""
        kept = _kept(repository, exact) if exact else None
        if kept is None and sources.offline:
            why = "is not here" if exact else "names no commit (40 digits), and may be another by now"
            raise Unavailable(f"{who}: {repository.ref or 'it'} {why}; --offline keeps from fetching it")
        if kept is None:
            exact, kept = _fetch(repository, who, sources)
            tell(f"{who}: commit {exact}")
        return Offer(kept.name, kept.as_uri(), sha256_file(kept), kept.stat().st_size), repository.at(exact)
    except OSError as e:
        raise no_room(home() / "sources", e) from e


def _place(repository: Repository, commit: str) -> Path:
    name = re.sub(r"[^\w.-]", "-", bare(repository.url).rstrip("/").rpartition("/")[2].removesuffix(".git"))
    key = hashlib.sha256(repository.at(commit).encode()).hexdigest()[:24]
    return home() / "sources" / key / f"{name or 'repository'}-{commit[:12]}.tar"


def _kept(repository: Repository, commit: str) -> Path | None:
    path = _place(repository, commit)
    return path if path.is_file() else None


def _fetch(repository: Repository, who: str, sources: Sources) -> tuple[str, Path]:
    git = shutil.which("git")
    if git is None:
        raise Unsupported(f"{who}: needs git, which is not installed")
    with tempfile.TemporaryDirectory(prefix="gantline-git-") as folder:
        run = _Git(git, Path(folder), repository, who, sources)
        run("init", "--quiet", "--bare", "--template=", ".")
        commit = _bring(run, repository)
        if run("ls-tree", "--name-only", commit, ".gitmodules"):
            raise BadArtefact(f"{who}: has submodules, which are not fetched; {_WHEEL}")
        path = _place(repository, commit)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".work.", dir=path.parent) as work:
            tree = f"{commit}:{repository.folder}" if repository.folder else commit
            packed = run("-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false", "archive", "--format=tar", tree)
            plain = Path(work, path.name)
            _normalise(packed, plain, path.stem)
            os.replace(plain, path)
    return commit, path


_WHEEL = "make a wheel of it (pip wheel --no-deps) and pass its directory with --find-links"


def _bring(run: _Git, repository: Repository) -> str:
    """The commit, once its tree is here: alone, or where a server hands out no single one, with all that there is."""
    try:
        run("fetch", "--quiet", "--depth=1", "--no-tags", "--", run.address, repository.ref or "HEAD")
        return run("rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()
    except (BadArtefact, Unreachable) as e:
        alone = re.fullmatch(r"[0-9a-f]{7,40}", repository.ref) or "shallow" in e.message
        if not alone or _NOBODY.search(e.message):
            raise
    run("fetch", "--quiet", "--", run.address, "+refs/*:refs/*" if repository.ref else "HEAD")
    return run("rev-parse", "--verify", f"{repository.ref or 'FETCH_HEAD'}^{{commit}}").decode().strip()


class _Git:
    """git in a folder. `address`: without a password, which goes to it by its environment, which others do not see."""

    def __init__(self, git: str, folder: Path, repository: Repository, who: str, sources: Sources) -> None:
        self.address = bare(repository.url) if repository.url.startswith("http") else repository.url
        self._git, self._folder, self._who = git, folder, who
        self._where = bare(repository.url)
        places = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
        self._environment = {name: value for name, value in os.environ.items() if name not in places}
        self._environment |= {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "http:https:ssh:git:file",
            "LC_ALL": "C",
        }
        self._environment.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        known = sources.credentials(repository.url) if repository.url.startswith("http") else None
        if known is not None:
            secret = base64.b64encode(":".join(known).encode()).decode()
            host = "/".join(self._where.split("/")[:3])
            self._environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{host}/.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {secret}",
            }

    def __call__(self, *words: str) -> bytes:
        try:
            done = subprocess.run(
                [self._git, *words], cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as e:
            raise Unreachable(f"{self._who}: {self._where} has not sent it within {SECONDS} s") from e
        if done.returncode:
            raise self._failed(done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def _failed(self, said: str) -> GantlineError:
        lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
        told = next(
            (line for line in lines if line.startswith(("fatal:", "error:"))), "".join(lines[-1:]) or "git failed"
        )
        text = f"{self._who}: {self._where}: {without_user(told)[:300]}"
        if _DENIED.search(said):
            return Denied(f"{text}; write NAME:PASSWORD@ into its address, or an entry into ~/.netrc")
        return BadArtefact(text) if _ABSENT.search(said) else Unreachable(text)


def _normalise(packed: bytes, into: Path, called: str) -> None:
    """A tar of the same files in one folder, sorted, of no time and nobody: any git makes the same."""
    with (
        tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar,
        tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in sorted(_plain(tar), key=lambda m: m.name):
            info = tarfile.TarInfo(f"{called}/{member.name}")
            info.type, info.linkname, info.size = member.type, member.linkname, member.size
            info.mode = 0o755 if member.mode & 0o111 or member.isdir() else 0o644
            out.addfile(info, tar.extractfile(member) if member.isreg() else None)


def _plain(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.isreg() or member.isdir() or member.issym():
            yield member
