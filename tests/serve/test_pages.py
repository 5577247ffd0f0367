"""Other people's web pages: which heads are theirs, and what that matters for."""

from __future__ import annotations

import pytest
from gantline.serve.access import ADMIN, ASK, EVERY, HEALTH, METRICS, SCORE, Rule
from gantline.serve.exchange import Head
from gantline.serve.pages import Doubt, Pages

from gantline.errors import Denied


def head(method: str = "POST", **headers: str) -> Head:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Head(method.encode(), b"/v2/repository/models/m/load", b"", pairs)


OURS = [  # whoever sends these is no other site's page
    head(),
    head(host="localhost:8000"),
    head(host="127.0.0.1:8000"),
    head(host="[::1]:8000"),
    head(host="[::1]"),
    head(host="10.1.2.3"),
    head(host="LOCALHOST"),
    head(host="gantline.localhost:80"),
    head(host="localhost:8000", origin="http://localhost:8000"),
    head(host="127.0.0.1:8000", origin="https://ml.example", sec_fetch_site="same-origin"),  # through a proxy
    head("GET", host="127.0.0.1", sec_fetch_site="none", sec_fetch_mode="navigate"),
    head("GET", host="127.0.0.1", sec_fetch_site="cross-site", sec_fetch_mode="navigate"),  # a link
]
THEIRS = [
    head(host="localhost:8000", origin="https://evil.example"),
    head(host="localhost:8000", origin="http://localhost:3000"),
    head(host="localhost:8000", origin="http://localhost:8000.evil.example"),
    head(host="localhost:8000", origin="null"),
    head(host="localhost:8000", origin=""),
    head(host="localhost:8000", origin="http://localhost:8000", sec_fetch_site="cross-site"),
    head(host="localhost:8000", origin="http://localhost:3000", sec_fetch_site="same-site"),
    head("GET", host="localhost:8000", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"),
    head("GET", host="localhost:8000", sec_fetch_site="cross-site"),
    head("POST", host="localhost:8000", sec_fetch_site="cross-site", sec_fetch_mode="navigate"),
    head(host="localhost:8000", origin="https://evil.example", sec_fetch_site="cross-site", sec_fetch_mode="navigate"),
]
MISNAMED = [
    head(host="evil.example"),
    head(host="evil.example:8000"),
    head(host="localhost.evil.example"),
    head(host="127.0.0.1.evil.example"),
    head(host="evil.example:8000", origin="http://evil.example:8000"),
    head(host="evil.example", sec_fetch_site="same-origin"),
    head(host=""),
    head(host="[::1"),
]


def refused(pages: Pages, one: Head, rule: Rule) -> str:
    """Why; empty for what is answered."""
    doubt = pages.doubt(one)
    try:
        if doubt is not None:
            pages.admit(one, rule, doubt)
    except Denied as e:
        assert e.known and "\n" not in e.message
        return e.message
    return ""


@pytest.mark.parametrize("one", OURS, ids=[str(h.headers) for h in OURS])
def test_ours(one: Head) -> None:
    assert Pages("127.0.0.1").doubt(one) is None


@pytest.mark.parametrize("one", THEIRS, ids=[str(h.headers) for h in THEIRS])
def test_theirs(one: Head) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        pages = Pages(host)
        assert [bool(refused(pages, one, rule)) for rule in (ADMIN, SCORE, EVERY, METRICS)] == [True] * 4
        assert not refused(pages, one, ASK) and not refused(pages, one, HEALTH)
        assert pages.denials.forbidden == 4


@pytest.mark.parametrize("one", MISNAMED, ids=[str(h.headers) for h in MISNAMED])
def test_a_name_that_may_be_anybodys_matters_for_what_changes_the_server(one: Head) -> None:
    pages = Pages("127.0.0.1")
    assert refused(pages, one, ADMIN) and not any(refused(pages, one, rule) for rule in (SCORE, EVERY, ASK, HEALTH))


def test_where_others_can_reach_a_server_only_browsers_are_asked_for_its_name() -> None:
    for host in ("0.0.0.0", "ml.example"):
        assert Pages(host).doubt(head(host="gantline.default.svc:8000")) is None
    rebound = head(host="evil.example", origin="http://evil.example")
    assert refused(Pages("0.0.0.0"), rebound, ADMIN)
    assert not refused(Pages("ML.example"), head(host="ml.example:8000", origin="http://ml.example:8000"), ADMIN)


def test_the_words() -> None:
    pages = Pages("127.0.0.1")
    assert pages.doubt(head(host="localhost", origin="https://evil.example")) == Doubt(
        "a web page of 'https://evil.example' may neither change nor read what a server without keys has; "
        "give the server --keys",
        False,
    )
    found = pages.doubt(head("GET", host="localhost", sec_fetch_site="cross-site"))
    assert found and found.why.startswith("a web page of another site may neither")
    assert pages.doubt(head(host="evil.example")) == Doubt(
        "Host 'evil.example' is not known to be a name of this server, which has no keys: ask it as localhost or by "
        "its address, or give it --keys",
        True,
    )
    found = pages.doubt(head(host="\xe9" * 5000))
    assert found and len(found.why) < 300
