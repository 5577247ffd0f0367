"""Where distributions come from: settings of pip and uv, passwords, and what the resolver is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.lock.sources import PYPI, Sources, bare, configured, local_path

from gantline.errors import UsageError


def test_pips_settings(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://a.invalid/simple\nextra-index-url =\n  https://b.invalid\n  https://c.invalid\n"
        "cert = /ca.pem\ndefault-timeout = 60\nproxy = p.invalid:3128\n"
        "[install]\nfind-links = /w1 /w2\ntrusted-host = a.invalid\npre = yes\n"
    )
    found = configured(
        {"PIP_CONFIG_FILE": str(conf), "PIP_NO_INDEX": "false", "PIP_CONSTRAINT": "/c.txt", "SSL_CERT_FILE": "/x"}
    )
    assert found == Sources(
        "https://a.invalid/simple", ("https://b.invalid", "https://c.invalid"), ("/w1", "/w2"), trusted=("a.invalid",),
        certificates="/ca.pem", timeout_s=60.0, prereleases=True, constraints=("/c.txt",),
        proxy="http://p.invalid:3128",
    )  # fmt: skip


def test_uvs_variables_come_before_pips(tmp_path: Path) -> None:
    environ = {
        "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "https://pip.invalid", "PIP_EXTRA_INDEX_URL": "https://x.invalid",
        "PIP_FIND_LINKS": "/pip", "UV_OFFLINE": "1",
        "UV_DEFAULT_INDEX": "https://uv.invalid", "UV_INDEX": "corp-1=https://corp.invalid/simple https://y.invalid",
        "UV_INDEX_CORP_1_USERNAME": "me@corp", "UV_INDEX_CORP_1_PASSWORD": "pass word",
        "UV_FIND_LINKS": "/a,/b",
    }  # fmt: skip
    found = configured(environ)
    assert found.index == "https://uv.invalid" and found.find_links == ("/a", "/b") and found.offline
    assert found.extra == ("https://me%40corp:pass%20word@corp.invalid/simple", "https://y.invalid")
    assert found.credentials("https://corp.invalid/files/x.whl") == ("me@corp", "pass word")


def test_a_file_of_pips_that_cannot_be_read(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("index-url = nowhere\n")
    with pytest.raises(UsageError, match=r"pip\.conf: pip's settings cannot be read"):
        configured({"PIP_CONFIG_FILE": str(conf)})


def test_passwords_go_to_their_own_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Sources("https://a:b@one.invalid/simple", ("https://c:d@two.invalid:8443/simple",))
    assert sources.credentials("https://one.invalid/files/x.whl") == ("a", "b")
    assert sources.credentials("https://two.invalid:8443/x.whl") == ("c", "d")
    for other in ("http://one.invalid/x.whl", "https://two.invalid/x.whl", "https://three.invalid/x.whl"):
        assert sources.credentials(other) is None
    (tmp_path / "netrc").write_text("machine three.invalid login e password f\n")
    assert sources.credentials("https://three.invalid/x.whl") == ("e", "f")
    assert sources.indexes == ("https://two.invalid:8443/simple", "https://one.invalid/simple")


def test_what_the_resolver_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "a, b"
    folder.mkdir()
    sources = Sources("https://u:p@i.invalid", ("https://x.invalid/a b",), (str(folder),), trusted=("i.invalid",))
    told = sources.variables({"UV_INDEX_URL": "https://old.invalid", "UV_PROJECT": "/x", "HOME": "/h"})
    assert told["UV_DEFAULT_INDEX"] == "https://u:p@i.invalid" and told["UV_INDEX"] == "https://x.invalid/a%20b"
    assert told["UV_FIND_LINKS"] == folder.as_uri().replace(",", "%2C") and told["HOME"] == "/h"
    assert "UV_INDEX_URL" not in told and "UV_PROJECT" not in told and told["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert Sources(no_index=True, extra=("https://x.invalid",)).indexes == ()
    assert Sources().indexes == (PYPI,)
    assert "UV_INDEX" not in Sources(no_index=True, extra=("https://x.invalid",)).variables({})


@pytest.mark.parametrize(
    "place", ["https://u:p@h:abc/simple", "http://h:99999", "http://[bad", "ftp://h.invalid/simple", "https://"]
)
def test_places_that_are_none(place: str) -> None:
    ways: tuple[Callable[[], Sources], ...] = (
        lambda: Sources(index=place),
        lambda: Sources(extra=(place,)),
        lambda: Sources(find_links=(place,)),
    )
    for way in ways:
        with pytest.raises(UsageError, match="is no place for wheels") as caught:
            way()
        assert "u:p" not in caught.value.message
    Sources("https://h", ("http://127.0.0.1:8080/x", "/a/path"), (r"C:\wheels", "file:///w", "~/w"))


def test_urls_and_paths(tmp_path: Path) -> None:
    assert bare("https://u:p@h.invalid:1/x?y#z") == "https://h.invalid:1/x?y#z"
    assert bare("/a/path@b") == "/a/path@b"
    assert local_path((tmp_path / "a b").as_uri()) == str(tmp_path / "a b")
    assert local_path("https://h.invalid") == "" and local_path("~/w").endswith("/w")
    assert Sources(find_links=(str(tmp_path), "https://h.invalid", "/nowhere")).folders == (tmp_path,)


def test_a_wheelhouse_is_looked_into_where_there_is_no_network(tmp_path: Path) -> None:
    assert Sources(wheelhouse=tmp_path).places == () and Sources(wheelhouse=tmp_path).folders == (tmp_path,)
    assert Sources(wheelhouse=tmp_path, offline=True).places == (str(tmp_path),)
