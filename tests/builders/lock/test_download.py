"""Downloads from a real server that cuts, refuses, lies and redirects."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from gantline.builders.lock.download import Downloader
from gantline.builders.lock.sources import Sources

from gantline.errors import Denied, NotFound, Unavailable, Unreachable, VerificationFailed

from .tiny import Index, serving_index, wheel


@pytest.fixture
def big(tmp_path: Path) -> Path:
    return wheel(tmp_path / "w", "forest", filler=1 << 20)


def downloader(sources: Sources | None = None) -> Downloader:
    return Downloader(sources or Sources(timeout_s=5.0), lambda seconds: None)


def fetch(index: Index, path: Path, into: Path, size: int | None = None) -> int:
    """Bytes told of on the way."""
    steps: list[int] = []
    url = f"http://127.0.0.1:{index.port}/files/{path.name}"
    downloader().fetch(url, into, path.stat().st_size if size is None else size, steps.append)
    return sum(steps)


@pytest.mark.parametrize("known", [True, False])
def test_a_cut_connection_is_gone_on_with(big: Path, tmp_path: Path, known: bool) -> None:
    with serving_index(Index(big.parent, cut=700_000)) as index:
        told = fetch(index, big, tmp_path / "part", None if known else 0)
    assert (tmp_path / "part").read_bytes() == big.read_bytes()
    assert told == index.sent[big.name] == big.stat().st_size, "no byte came twice"
    assert [a.partition("whl")[2] for a in index.asked] == ["", " bytes=700000-"]


def test_a_server_that_cannot_go_on_begins_again(big: Path, tmp_path: Path) -> None:
    with serving_index(Index(big.parent, cut=700_000, ranges=False)) as index:
        fetch(index, big, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == big.read_bytes()


def test_what_an_earlier_run_left_is_used(big: Path, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(big.read_bytes()[:1_000_000])
    with serving_index(Index(big.parent)) as index:
        fetch(index, big, tmp_path / "part")
        assert index.sent[big.name] == big.stat().st_size - 1_000_000
        fetch(index, big, tmp_path / "part")  # whole already
        assert len(index.asked) == 1


def test_a_busy_server_is_asked_again(big: Path, tmp_path: Path) -> None:
    with serving_index(Index(big.parent)) as index:
        index.busy = 3
        fetch(index, big, tmp_path / "part")
        assert len(index.asked) == 4
        index.busy = 100
        with pytest.raises(Unreachable, match=r"503 Service Unavailable, 5 times"):
            fetch(index, big, tmp_path / "other")


def test_more_than_was_locked(big: Path, tmp_path: Path) -> None:
    with (
        serving_index(Index(big.parent)) as index,
        pytest.raises(VerificationFailed, match="longer than the 1000 bytes"),
    ):
        fetch(index, big, tmp_path / "part", 1000)


def test_less_than_was_locked(big: Path, tmp_path: Path) -> None:
    size = big.stat().st_size
    shorter = pytest.raises(VerificationFailed, match=f"is {size} bytes, the lock says {size + 1}")
    with serving_index(Index(big.parent, cut=700_000)) as index, shorter:
        fetch(index, big, tmp_path / "part", size + 1)


def test_what_no_other_try_mends(big: Path, tmp_path: Path) -> None:
    with serving_index(Index(big.parent, login="a:b")) as index:
        url = f"http://127.0.0.1:{index.port}/files/{big.name}"
        with pytest.raises(Denied, match=r"401 Unauthorized.*netrc"):
            downloader().fetch(url, tmp_path / "part", 0, lambda n: None)
        assert not downloader().allowed(url) and downloader(Sources(index.with_login)).allowed(url)
        assert downloader(Sources(index.with_login)).size(url) == big.stat().st_size
        gone = f"http://127.0.0.1:{index.port}/simple/nothing/"
        with pytest.raises(NotFound, match="run `gantline lock` again"):
            downloader(Sources(index.with_login)).fetch(gone, tmp_path / "part", 0, lambda n: None)
        assert len(index.asked) == 5


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9/x\.whl: .*refused.*, 5 times"):
        downloader().fetch("http://u:p@127.0.0.1:9/x.whl", tmp_path / "part", 0, lambda n: None)
    assert downloader().size("http://127.0.0.1:9/x.whl") == 0 and downloader().allowed("http://127.0.0.1:9/")


def test_passwords_stay_with_their_host(big: Path, tmp_path: Path) -> None:
    """A redirect to another port is another server: it is asked without the name and the password."""
    seen: list[str | None] = []
    with serving_index(Index(big.parent)) as index:

        class Redirect(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                seen.append(self.headers.get("Authorization"))
                self.send_response(302)
                away = self.path == "/away"
                self.send_header("Location", f"http://127.0.0.1:{index.port}/files/{big.name}" if away else "/away")
                self.end_headers()

        server = HTTPServer(("127.0.0.1", 0), Redirect)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        index.login = "somebody:else"  # so that it would take offence
        try:
            sources = Sources(f"http://a:b@127.0.0.1:{server.server_port}/simple", timeout_s=5.0)
            url = f"http://127.0.0.1:{server.server_port}/here"
            with pytest.raises(Denied):
                downloader(sources).fetch(url, tmp_path / "part", 0, lambda n: None)
            index.login = ""
            downloader(sources).fetch(url, tmp_path / "part", 0, lambda n: None)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    assert seen == ["Basic YTpi"] * 4 and (tmp_path / "part").read_bytes() == big.read_bytes()


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"certificate .*nowhere\.pem: cannot be read"):
        Downloader(Sources(certificates=str(tmp_path / "nowhere.pem"))).fetch(
            "https://127.0.0.1:9/x", tmp_path / "part", 0, lambda n: None
        )


def test_a_disk_that_is_full(big: Path) -> None:
    with serving_index(Index(big.parent)) as index, pytest.raises(Unavailable, match=r"no space left.*GANTLINE_HOME"):
        fetch(index, big, Path("/dev/full"), 0)
