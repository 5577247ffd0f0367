"""Who may do what: the tables are complete, and a head is let in or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from gantline.serve.access import (
    ADMIN,
    ASK,
    EVERY,
    HEALTH,
    HTTP,
    METRICS,
    NOBODY,
    SCORE,
    Access,
    Denials,
    Rule,
    model_in,
    presented,
)
from gantline.serve.exchange import Head
from gantline.serve.keys import KeySet, parse
from gantline.serve.wishes import TENANT, wishes_of

from gantline.errors import Denied
from tests.serve.key_table import BOSS, SCORER, SOME, key_table

if TYPE_CHECKING:
    from tests.serve.conftest import Running

FILE = key_table("iris", "a b", tenant="team-a")


def head(path: bytes = b"/v2/models/iris/infer", *headers: tuple[bytes, bytes]) -> Head:
    return Head(b"POST", path, b"", [(b"host", b"x"), *headers])


def with_key(secret: str, path: bytes = b"/v2/models/iris/infer") -> Head:
    return head(path, (b"x-api-key", secret.encode()))


@pytest.fixture
def keys() -> KeySet:
    return parse(FILE, "keys.toml")


@pytest.fixture
def access(keys: KeySet) -> Access:
    return Access(keys, "health", lambda: "iris")


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], None),
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"bEARER   abc ")], b"abc"),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"abc")], None),
        ([(b"x-api-key", b" abc ")], b"abc"),
        ([(b"x-api-key", b" ")], None),
        ([(b"authorization", b"Bearer of-a-proxy"), (b"x-api-key", b"abc")], b"abc"),
        ([(b"authorization", b"Bearer abc"), (b"x-api-key", b"")], b"abc"),
        ([(b"authorization", b"Basic xyz"), (b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer def")], b"abc"),
    ],
)
def test_where_a_key_is_looked_for(headers: list[tuple[bytes, bytes]], secret: bytes | None) -> None:
    assert presented(head(b"/", *headers)) == secret


def test_a_head_that_is_let_in_says_whose_it_is(access: Access, keys: KeySet) -> None:
    one = with_key(SCORER)
    access.admit(one, SCORE)
    assert one.key is keys["scorer"] and one.keys is keys
    other = with_key(BOSS)
    access.admit(other, ADMIN)
    assert other.key is keys["boss"]


@pytest.mark.parametrize(
    ("one", "rule", "name", "known", "message"),
    [
        (head(), SCORE, None, False, "no key; send a key as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'"),
        (with_key("some-other-secret"), SCORE, None, False, "the key is not known here; send a key as"),
        (with_key(SCORER), ADMIN, None, True, "key 'scorer' has the role score; this needs admin"),
        (with_key(BOSS), NOBODY, None, True, "refused to everybody"),
        (with_key(SOME, b"/v2/models/churn/infer"), SCORE, None, True, "key 'some' is not for model 'churn'"),
        (with_key(SOME, b"/v2/models/%63hurn/infer"), SCORE, None, True, "key 'some' is not for model 'churn'"),
        (with_key(SOME, b"/models/churn/score"), SCORE, None, True, "key 'some' is not for model 'churn'"),
        (with_key(SOME), SCORE, "churn", True, "key 'some' is not for model 'churn'"),
        (with_key(SOME, b"/v2/models/stats"), EVERY, None, True, "key 'some' is for some models only"),
    ],
)
def test_who_is_turned_away(access: Access, one: Head, rule: Rule, name: str | None, known: bool, message: str) -> None:
    with pytest.raises(Denied) as caught:
        access.admit(one, rule, name)
    assert caught.value.message.startswith(message) and caught.value.known is known
    assert one.key is None and one.keys is None
    assert not any(secret in caught.value.message for secret in (SCORER, SOME, BOSS, "some-other-secret"))


def test_a_key_for_some_models(access: Access) -> None:
    access.admit(with_key(SOME), SCORE)
    access.admit(with_key(SOME, b"/v2/models/a%20b/infer"), SCORE)
    access.admit(with_key(SOME, b"/models/iris/score"), SCORE)
    access.admit(with_key(SOME, b"/score"), SCORE)
    access.admit(with_key(SOME, b"/v2"), SCORE)
    access.default = lambda: "churn"
    with pytest.raises(Denied, match="not for model 'churn'"):
        access.admit(with_key(SOME, b"/score"), SCORE)


def test_what_is_open_to_everybody(keys: KeySet) -> None:
    Access(keys, "health", str).admit(head(), HEALTH)
    Access(keys, "health+metrics", str).admit(head(), METRICS)
    for keyless, rule in (("nothing", HEALTH), ("nothing", METRICS), ("health", METRICS), ("health+metrics", SCORE)):
        with pytest.raises(Denied):
            Access(keys, keyless, str).admit(head(), rule)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/v2/models/m/infer", "m"),
        (b"/v2/models/m/versions/3/infer", "m"),
        (b"/v2/models/m%2Fn/infer", "m/n"),
        (b"/models/m/score", "m"),
        (b"/score", "default"),
        (b"/swagger.json", "default"),
        (b"/invocations", "default"),
        (b"/models/m/invoke", "m"),
        (b"/v2/models/stats", None),
        (b"/v2/models/stats/infer", "stats"),
        (b"/v2", None),
        (b"/", None),
        (b"", None),
        (b"/v1/models", None),
        (b"/v1/models/m", "m"),
        (b"/v1/models/m:predict", "m"),
        (b"/v1/models/a%3Ab%3apredict", "a:b"),
        (b"/v1/models/m/versions/2:predict", "m"),
        (b"/v1/models/m/labels/x:predict", "m"),
        (b"/v1/models/m/metadata", "m"),
    ],
)
def test_the_model_in_a_path(path: bytes, name: str | None) -> None:
    assert model_in(path, lambda: "default") == name


def test_every_route_has_its_rule(server: Running) -> None:
    routes = {route.path for route in server.stack.app.routes}  # type: ignore[attr-defined]  # all have one
    assert routes == set(HTTP)


def test_every_hot_path_needs_what_its_route_needs(servers: Callable[..., Running]) -> None:
    """The hot front asks for the role score, whatever the path."""
    server = servers()  # other tests add paths of their own to the one that is shared
    front = server.stack.front
    others = [path for paths, _ in front.faces for path in paths]
    assert b"/v1/models/double:predict" in others
    for path in [*front.infer_paths, *front.handlers, *others]:
        scope = {"type": "http", "method": "POST", "path": path.decode(), "root_path": ""}
        found = [r.path for r in server.stack.app.routes if r.matches(scope)[0].name == "FULL"]  # type: ignore[attr-defined]
        assert found and HTTP[found[0]] == ASK, path


def test_a_flood_of_denials_is_a_line_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    denials = Denials()
    one = Head(b"POST", b"/v2/models/m/infer", b"", [(b"x-api-key", SCORER.encode())], ("10.0.0.1", 5))
    for now in [*[100.0] * 50, 109.9, 110.0, 110.0, 200.0]:
        denials.note(one, Denied("why", known=now > 150), now)
    assert (denials.unauthenticated, denials.forbidden) == (53, 1)
    start = "denied: 10.0.0.1:5 POST /v2/models/m/infer: why"
    assert [r.getMessage() for r in caplog.records] == [
        f"{start} (1 since the last such line)",
        f"{start} (51 since the last such line)",
        f"{start} (2 since the last such line)",
    ]


def test_whoever_is_denied_is_in_the_log(access: Access, caplog: pytest.LogCaptureFixture) -> None:
    for secret in ("some-other-secret", SCORER):
        with pytest.raises(Denied):
            access.admit(with_key(secret), ADMIN)
    (record,) = caplog.records
    assert record.getMessage().startswith("denied: - POST /v2/models/iris/infer: the key is not known here; ")
    assert "some-other-secret" not in caplog.text and SCORER not in caplog.text


def test_a_keys_tenant_is_not_the_clients_to_choose(access: Access) -> None:
    one = head(b"/v2/models/iris/infer", (b"x-api-key", SOME.encode()), (TENANT, b"somebody-else"))
    assert wishes_of(one).tenant == b"somebody-else"  # nobody was asked for a key
    access.admit(one, SCORE)
    assert wishes_of(one).tenant == b"team-a"
    other = head(b"/v2/models/iris/infer", (b"x-api-key", SCORER.encode()), (TENANT, b"team-b"))
    access.admit(other, SCORE)
    assert wishes_of(other).tenant == b"team-b"
