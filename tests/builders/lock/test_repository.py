"""Commits of git's, fetched by the real git from repositories made here, and the wheels that are built of them."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
from gantline.builders.lock.building import HERE, Building
from gantline.builders.lock.pylock import Lock
from gantline.builders.lock.repository import Repository, fetched
from gantline.builders.lock.resolve import lock_package
from gantline.builders.lock.sources import Sources

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, Denied, Unavailable, Unreachable, Unsupported
from gantline.oci.platforms import Platform

from .sdist import sdist
from .tiny import package

HOST = Platform.of_this_machine()
PYTHON = (3, 11)


def git(root: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *words], cwd=root, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: the project `oak` 1.0, tagged v1, and 2.0 on the branch main."""
    root = tmp_path / "oak.git"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    for version in ("1.0", "2.0"):
        with tarfile.open(sdist(tmp_path / "s", "oak", version)) as tar:
            tar.extractall(tmp_path / "s", filter="data")
        for at in (root, root / "deep" / "er"):  # with times of their own, by which git knows what has changed
            shutil.copytree(tmp_path / "s" / f"oak-{version}", at, copy_function=shutil.copy, dirs_exist_ok=True)
        git(root, "add", "-A")
        git(root, "commit", "--quiet", "-m", version)
        git(root, "tag", "-a", f"v{version[0]}", "-m", "a tag of its own")
    return root


@pytest.mark.parametrize(
    ("address", "made"),
    [
        ("git+https://h.invalid/o/r.git@v1", Repository("https://h.invalid/o/r.git", "v1")),
        ("git+ssh://git@h.invalid/r@a/b#egg=x&subdirectory=y", Repository("ssh://git@h.invalid/r", "a/b", "y")),
        ("git+https://h.invalid/o@2/r", Repository("https://h.invalid/o", "2/r")),  # as pip reads it
        ("git+http://h.invalid/r", Repository("http://h.invalid/r")),
    ],
)
def test_addresses(address: str, made: Repository) -> None:
    assert Repository.parse(address, "it") == made


@pytest.mark.parametrize(
    "address",
    ["git+ext::sh -c x", "git+https://h/r@--upload-pack=x", "git+https://h/r@v1#subdirectory=../x", "hg+https://h/r"],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BadArtefact, match="it: no address of a repository"):
        Repository.parse(address, "it")


def test_the_archive_depends_on_the_tree_alone(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "v1^{commit}")
    told: list[str] = []
    archives = []
    for ref in ("v1", commit, commit[:9]):
        one = Repository(repository.as_uri(), ref)
        archive, address = fetched(one, "it", Sources(), told.append)
        assert address == f"git+{repository.as_uri()}@{commit}"
        archives.append(archive)
    assert len(set(archives)) == 1 and told == [f"it: commit {commit}"] * 2, "the whole commit was here by then"
    path = Path(archives[0].url.removeprefix("file://"))
    assert archives[0].digest == sha256_file(path) and path.name == f"oak-{commit[:12]}.tar"
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.uname) for m in members} == {(0, 0, "")}
    assert f"oak-{commit[:12]}/pyproject.toml" in {m.name for m in members}
    shutil.rmtree(path.parent)
    git(repository, "commit", "--quiet", "--amend", "--date=2001-01-01T00:00:00", "-m", "the same tree")
    again, _ = fetched(Repository(repository.as_uri(), commit), "it", Sources(), told.append)
    assert again == archives[0]
    deep, address = fetched(Repository(repository.as_uri(), "v1", "deep/er"), "it", Sources(), told.append)
    assert address.endswith(f"@{commit}#subdirectory=deep/er") and deep.digest != again.digest


def test_without_a_network(repository: Path) -> None:
    commit = git(repository, "rev-parse", "main")
    offline = Sources(offline=True)
    with pytest.raises(Unavailable, match=r"it: main names no commit \(40 digits\)"):
        fetched(Repository(repository.as_uri(), "main"), "it", offline, print)
    with pytest.raises(Unavailable, match=f"it: {commit} is not here"):
        fetched(Repository(repository.as_uri(), commit), "it", offline, print)
    kept, _ = fetched(Repository(repository.as_uri(), "main"), "it", Sources(), print)
    assert fetched(Repository(repository.as_uri(), commit), "it", offline, print)[0] == kept


def test_what_cannot_be_had(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadArtefact, match=r"it: file://.*oak\.git: fatal: couldn't find remote ref nosuch"):
        fetched(Repository(repository.as_uri(), "nosuch"), "it", Sources(), print)
    with pytest.raises(BadArtefact, match="it: "):
        fetched(Repository(repository.as_uri(), "0" * 40), "it", Sources(), print)
    with pytest.raises(Unreachable, match=r"it: http://127\.0\.0\.1:9/r: ") as refused:
        fetched(Repository("http://me:s3cr3t@127.0.0.1:9/r", "v1"), "it", Sources(), print)
    assert "s3cr3t" not in str(refused.value)
    (repository / ".gitmodules").write_text("")
    git(repository, "add", "-A")
    git(repository, "commit", "--quiet", "-m", "parts of others")
    with pytest.raises(BadArtefact, match="has submodules, which are not fetched; make a wheel"):
        fetched(Repository(repository.as_uri(), "main"), "it", Sources(), print)
    assert not [p for p in Path(os.environ["GANTLINE_HOME"]).rglob("*.tar")]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="it: needs git"):
        fetched(Repository(repository.as_uri()), "it", Sources(), print)


def test_a_server_with_a_password_that_hands_out_no_single_commit(repository: Path, tmp_path: Path) -> None:
    """Plain files over HTTP, as git's oldest servers are; the password is in no error, and on no command line."""
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), "served.git")
    git(tmp_path / "served.git", "update-server-info")
    commit = git(repository, "rev-parse", "v1^{commit}")
    wanted = "Basic " + base64.b64encode(b"me:s3c ret").decode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == wanted:
                return super().do_GET()
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            return self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            at = f"127.0.0.1:{server.server_port}/served.git"
            for ref in (commit, "v1", ""):
                _, address = fetched(Repository(f"http://me:s3c%20ret@{at}", ref), "it", Sources(), print)
                assert address == f"git+http://{at}@{commit if ref else git(repository, 'rev-parse', 'main')}"
                shutil.rmtree(Path(os.environ["GANTLINE_HOME"], "sources"))
            with pytest.raises(Denied, match=r"it: http://127.*NAME:PASSWORD@") as refused:
                fetched(Repository(f"http://me:s3cr3t@{at}", "v1"), "it", Sources(), print)
        finally:
            server.shutdown()
            thread.join()
    assert "s3cr3t" not in str(refused.value)


def test_a_lock_says_which_commit(house: Path, repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "v1^{commit}")
    sources = Sources(no_index=True, find_links=(str(house),), build=Building(HERE))
    lines = [f"oak @ git+{repository.as_uri()}@v1 ; python_version > '3'"]
    lines.append("elm @ git+https://h.invalid/elm ; sys_platform == 'win32'")
    notes: list[str] = []
    lock = lock_package(package(tmp_path / "p", lines), HOST, PYTHON, (2, 99), sources, notes.append)
    oak = next(p for p in lock.packages if p.name == "oak")
    assert oak.version == "1.0" and oak.asked == (f"{lines[0]} (the package)",) and oak.source is not None
    assert oak.source.url == f"git+{repository.as_uri()}@{commit}" and oak.source.digest.startswith("sha256:")
    assert f"'{lines[0]}' (the package): commit {commit}" in notes
    assert Lock.from_bytes(lock.to_bytes(), "it") == lock and "elm" not in {p.name for p in lock.packages}
    with pytest.raises(BadArtefact, match=r"is source code, and images hold wheels.*--build-wheels"):
        lock_package(package(tmp_path / "q", lines), HOST, PYTHON, (2, 99), Sources(no_index=True))
