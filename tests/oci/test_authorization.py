"""Authorization: challenges as registries write them; tokens asked for once, kept, renewed; secrets go nowhere else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gantline.errors import BadArtefact, Denied
from gantline.oci.authorization import Authorization, Challenge, parse
from gantline.oci.credentials import Credentials

PULL = ("repository:team/iris:pull",)
BEARER = 'Bearer realm="https://auth.example/token?x=1",service="h.example",scope="repository:team/iris:pull"'


class TokenServer:
    """Answers with t0, t1, ...; keeps what it was asked."""

    def __init__(self, status: int = 200, **answer: object) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes | None]] = []
        self.status = status
        self.answer = answer

    def __call__(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        self.asked.append((method, url, headers, body))
        return self.status, json.dumps({"token": f"t{len(self.asked) - 1}", **self.answer}).encode()


def credentials(folder: Path, **entry: str) -> Credentials:
    (folder / "config.json").write_text(json.dumps({"auths": {"h.example": entry}}))
    return Credentials({"DOCKER_CONFIG": str(folder), "HOME": str(folder)})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('Basic realm="a, b"', [Challenge("basic", {"realm": "a, b"})]),
        ("Basic", [Challenge("basic", {})]),
        (
            'Bearer realm="https://x/t",service="s\\"q",scope="a:b:c,d"',
            [Challenge("bearer", {"realm": "https://x/t", "service": 's"q', "scope": "a:b:c,d"})],
        ),
        ("Negotiate, BASIC realm=x", [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})]),
        ("", []),
        ('realm="x"', []),
    ],
)
def test_challenges(text: str, found: list[Challenge]) -> None:
    assert parse(text) == found


def test_a_token_is_asked_for_once_and_again_when_it_ends(tmp_path: Path) -> None:
    clock = [0.0]
    ask = TokenServer(expires_in=100)
    found = Authorization(
        "h.example", credentials(tmp_path, username="ann", password="pw"), ask, True, lambda: clock[0]
    )
    assert found.header(PULL) is None
    assert found.refused([BEARER], PULL, None)
    assert found.header(PULL) == "Bearer t0" == found.header(PULL)
    method, url, headers, _ = ask.asked[0]
    query = parse_qs(urlsplit(url).query)
    assert method == "GET" and query == {
        "x": ["1"], "service": ["h.example"], "scope": list(PULL), "account": ["ann"]
    }  # fmt: skip
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"ann:pw").decode()
    clock[0] = 94.9
    assert found.header(PULL) == "Bearer t0"
    clock[0] = 95.1
    assert found.header(PULL) == "Bearer t1"
    assert found.header(("repository:x:pull",)) == "Bearer t2"
    assert found.refused([BEARER], PULL, "Bearer t1") and found.header(PULL) == "Bearer t3"
    assert found.refused([BEARER], PULL, "Bearer t1") and found.header(PULL) == "Bearer t3"  # another has renewed it


def test_an_identity_token_is_exchanged(tmp_path: Path) -> None:
    ask = TokenServer(token=None, access_token="acc")
    found = Authorization("h.example", credentials(tmp_path, identitytoken="id"), ask, True)
    found.refused([BEARER], PULL, None)
    assert found.header(PULL) == "Bearer acc"
    method, _, _, body = ask.asked[0]
    form = parse_qs((body or b"").decode())
    assert method == "POST" and form["refresh_token"] == ["id"] and form["grant_type"] == ["refresh_token"]


def test_basic(tmp_path: Path) -> None:
    found = Authorization("h.example", credentials(tmp_path, username="ann", password="pw"), TokenServer(), True)
    assert found.refused(['Basic realm="x"'], PULL, None)
    sent = found.header(PULL)
    assert sent == "Basic " + base64.b64encode(b"ann:pw").decode()
    assert not found.refused(['Basic realm="x"'], PULL, sent)
    nobody = Authorization("i.example", credentials(tmp_path, username="ann", password="pw"), TokenServer(), True)
    assert not nobody.refused(['Basic realm="x"'], PULL, None) and nobody.header(PULL) is None


def test_a_password_goes_by_tls_alone(tmp_path: Path) -> None:
    ask = TokenServer()
    found = Authorization("h.example", credentials(tmp_path, username="ann", password="pw"), ask, True)
    for realm in ("http://auth.example/token", "file:///etc/passwd"):
        found.refused([f'Bearer realm="{realm}"'], PULL, None)
        with pytest.raises(Denied, match="where a password would not be safe"):
            found.header(PULL)
    for realm in ("https://[::1", "https://auth.example/\u00ff", "https://a b/"):
        found.refused([f'Bearer realm="{realm}"'], PULL, None)
        with pytest.raises(BadArtefact, match=r"sends us to .* for a token"):
            found.header(PULL)
    assert ask.asked == []


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    found = Authorization("h.example", credentials(tmp_path), TokenServer(401), True)
    found.refused([BEARER], PULL, None)
    with pytest.raises(
        Denied, match=r"nothing here says who you are \(its token server answers 401\); type `docker login"
    ):
        found.header(PULL)
    for answer in ({"token": None}, {"token": "a b"}, {"expires_in": "soon"}, {"expires_in": 10**400}):
        strange = Authorization("h.example", credentials(tmp_path), TokenServer(200, **answer), True)
        strange.refused([BEARER], PULL, None)
        with pytest.raises(BadArtefact, match="its token server answered"):
            strange.header(PULL)
    assert not found.refused(["Negotiate"], PULL, None) and not found.refused(["Bearer service=x"], PULL, None)
