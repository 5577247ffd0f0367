"""What the hot front reads: real sockets against a real server."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Held

PATH = "/v2/models/double/infer"
CLOSE = "Connection: close"


def body(*values: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": values or (1, 2, 3)}]}


def chunked(path: str, *chunks: bytes, end: bytes = b"0\r\n\r\n", headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + end


def test_hot_and_slow_requests_in_one_write_are_answered_in_order(server: Running) -> None:
    random.seed(3)
    kinds = [random.choice("hhhsnbc") for _ in range(4000)]
    make = {
        "h": lambda i: server.post(PATH, body(i, 0, 0)),
        "s": lambda i: server.get(f"/v2/models/none-{i}"),
        "n": lambda i: server.post(f"/v2/models/none-{i}/infer", body()),
        "b": lambda i: server.post(PATH, b"[%d" % i),
        "c": lambda i: chunked(PATH, json.dumps(body(i, 0, 0)).encode()),
    }
    answers = server.ask(b"".join(make[k](i) for i, k in enumerate(kinds)))
    assert len(answers) == len(kinds)
    for i, (kind, answer) in enumerate(zip(kinds, answers, strict=True)):
        if kind in "hc":
            assert answer.json()["outputs"][0]["data"][0] == 2 * i
        elif kind == "b":
            assert answer.status == 400
        else:
            assert answer.status == 404 and f"none-{i}'" in answer.json()["error"]


def test_every_split_of_two_requests_gives_the_same(server: Running) -> None:
    raw = server.post(PATH, body(1, 2, 3)) + chunked(PATH, json.dumps(body(4, 5, 6)).encode())
    with server.connect() as s:
        for at in range(1, len(raw), 7):
            s.sendall(raw[:at])
            s.sendall(raw[at:])
            got = b""
            while got.count(b'"outputs"') < 2 or not got.endswith(b"}]}"):
                got += s.recv(1 << 16)
            assert [a.json()["outputs"][0]["data"] for a in server.answers(got)] == [[2, 4, 6], [8, 10, 12]]


def test_a_slow_sender_is_waited_for(server: Running) -> None:
    answers = server.ask(*(bytes([b]) for b in server.post(PATH, body())))
    assert [a.status for a in answers] == [200]


def test_a_head_seen_before_is_still_checked_where_it_matters(server: Running) -> None:
    one, other = server.post(PATH, body(1, 2, 3)), server.post(PATH, body(7, 8, 9))
    broken = one[:-4] + b"x]}]"
    with server.connect() as s:
        for raw, status in [(one, 200), (other, 200), (broken, 400), (one, 200)] * 2:
            s.sendall(raw)
            assert server.read_answer(s).status == status
        # the same bytes inside a body are a body
        inner = server.post("/v2/models/none/infer", one)
        s.sendall(inner[: -len(one)])
        s.sendall(one)
        assert server.read_answer(s).status == 404
        s.sendall(one)
        assert server.read_answer(s).json()["outputs"][0]["data"] == [2, 4, 6]


# -- chunked


def test_chunks_with_extensions_and_trailers(server: Running) -> None:
    data = json.dumps(body()).encode()
    end = b"0;last=yes\r\nInference-Header-Content-Length: 3\r\nContent-Encoding: br\r\n\r\n"
    plain = chunked(PATH, *(data[i : i + 5] for i in range(0, len(data), 5)), end=end)
    extended = chunked(PATH, end=b'%x;a;b="c d"\r\n%s\r\n0\r\n\r\n' % (len(data), data))
    answers = server.ask(plain + extended + plain)
    assert [a.status for a in answers] == [200] * 3
    assert answers[0].json()["outputs"][0]["data"] == [2, 4, 6]


def test_trailers_do_not_become_headers_on_the_slow_road(server: Running) -> None:
    path = "/v2/models/doubl%65/infer"
    end = b"0\r\nInference-Header-Content-Length: 3\r\n\r\n"
    assert [a.status for a in server.ask(chunked(path, json.dumps(body()).encode(), end=end))] == [200]


@pytest.mark.parametrize("piece", [b"a" * 60_000, b"X-T: 1\r\n" * 7_500], ids=["one line", "many lines"])
def test_endless_trailers_and_extensions_are_cut_off(server: Running, piece: bytes) -> None:
    for start in (chunked(PATH, b"x", end=b"0\r\nT: "), chunked(PATH, b"x", end=b"0\r\n"), chunked(PATH, end=b"5;x=")):
        answers = server.ask(start, *[piece] * 12, half_close=False)
        assert [a.status for a in answers] in ([431], [400])


# -- Expect


def test_expect_is_answered_before_the_body(server: Running) -> None:
    raw = server.post(PATH, body(), "Expect: 100-Continue")
    head, _, rest = raw.partition(b"\r\n\r\n")
    for path in (PATH, "/v2/models/doubl%65/infer", "/v2/repository/index"):
        with server.connect() as s:
            s.sendall(head.replace(PATH.encode(), path.encode()) + b"\r\n\r\n")
            assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            s.sendall(rest)
            assert server.read_answer(s).status == 200


def test_a_body_too_large_is_refused_before_it_is_sent(server: Running) -> None:
    for path in (PATH, "/v2/models/doubl%65/infer"):
        head = f"POST {path} HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: {65 << 20}\r\n\r\n"
        answers = server.ask(head.encode(), half_close=False)
        assert [a.status for a in answers] == [413]
        assert "larger than 67108864 bytes" in answers[0].json()["error"]
        assert answers[0].headers["connection"] == "close"


def test_expect_means_nothing_in_http_1_0(server: Running) -> None:
    assert [a.status for a in server.ask(server.post(PATH, body(), "Expect: 100-continue", version="1.0"))] == [200]


def test_expect_of_one_that_waits_is_answered_in_its_turn(server: Running, held: Held) -> None:
    head, _, rest = server.post(PATH, body(), "Expect: 100-continue").partition(b"\r\n\r\n")
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b"") + head + b"\r\n\r\n")
        held.answer(1)
        got = b""
        while b"100 Continue\r\n\r\n" not in got:
            got += s.recv(1000)
        assert [a.status for a in server.answers(got)] == [200, 100]
        s.sendall(rest)
        assert server.read_answer(s).status == 200


# -- methods, versions, targets


def test_head_and_options(server: Running) -> None:
    with server.connect() as s:
        s.sendall(server.get("/v2/health/ready", method="HEAD") + server.get("/v2/models/double", CLOSE, method="HEAD"))
        raw = server.read_all(s)
    heads = raw.split(b"\r\n\r\n")
    assert len(heads) == 3 and heads[2] == b"" and all(h.startswith(b"HTTP/1.1 200") for h in heads[:2])
    answer = server.ask(server.get(PATH, method="OPTIONS"))[0]
    assert answer.status == 405 and answer.headers["allow"] == "POST"
    assert answer.json() == {"error": "Method Not Allowed"}
    assert [a.status for a in server.ask(server.get("*", method="OPTIONS") + server.get("/v2"))] == [404, 200]
    assert server.ask(server.get(PATH, method="DELETE"))[0].status == 405


def test_keep_alive_by_version_and_header(server: Running) -> None:
    twice = [server.post(PATH, body(), version="1.0"), server.post(PATH, body(), CLOSE)]
    for raw in twice:
        answers = server.ask(raw + raw, half_close=False)
        assert [a.status for a in answers] == [200]
        assert answers[0].headers["connection"] == "close"
    slow = server.get("/v2", CLOSE)
    assert [a.status for a in server.ask(slow + slow, half_close=False)] == [200]


def test_bytes_after_a_request_that_closes_are_no_requests(server: Running, held: Held) -> None:
    raw = server.post("/test/hold", b"", CLOSE)
    with server.connect() as s:
        s.sendall(raw + b"\x00garbage" + server.post(PATH, body()))
        held.answer(1)
        assert [a.body for a in server.answers(server.read_all(s))] == [b"held"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (PATH, 200),
        (PATH + "?a=b", 200),
        (PATH + "#part", 200),
        ("http://test" + PATH, 200),
        ("http://test:8000" + PATH + "?x", 200),
        ("/v2/models/%64ouble/infer", 200),
        ("/v2/models/double%2finfer", 404),
        ("/v2/models/double/versions/1/infer", 200),
        ("/v2/models/double/versions/%31/infer", 200),
        ("/v2/models/double/versions/2/infer", 404),
        ("/v2/models/double/versions/x/infer", 404),
        ("/v2/models/%ff%fe/infer", 404),
        ("/v2/models//infer", 404),
        ("/v2//models/double/infer", 404),
        ("//v2/models/double/infer", 404),
        ("/v2/models/double/infer/", 404),
        ("/v2/models/double/../double/infer", 404),
        ("/v2/models/dou ble/infer", 400),
        ("/v2/models/\xe9/infer", 400),
        ("relative", 400),
        ("", 400),
    ],
)
def test_targets(server: Running, target: str, status: int) -> None:
    answers = server.ask(server.post(target, body()))
    assert [a.status for a in answers] == [status], answers
    assert (status == 200) == ("outputs" in answers[0].json()) and (status == 200) != ("error" in answers[0].json())


def test_an_address_without_a_path(server: Running) -> None:
    bare, query, root = server.ask(server.get("http://test") + server.get("http://test?a/b") + server.get("/"))
    assert bare.body == query.body == root.body and bare.status == query.status == root.status


@pytest.mark.parametrize("path", [PATH, "/v2/models/doubl%65/infer"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0", "h2c, websocket"])
def test_a_wish_for_another_protocol_is_passed_over(server: Running, path: str, protocol: str) -> None:
    extra = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABk"]
    data = json.dumps(body(5, 6, 7)).encode()
    raw = server.post(path, data, *extra)
    split = chunked(path, data[:20], data[20:], headers="\r\n".join(extra) + "\r\n")
    answers = server.ask(raw + split + server.get("/v2", *extra) + raw)
    assert [a.status for a in answers] == [200] * 4
    assert [a.json()["outputs"][0]["data"] for a in answers if a is not answers[2]] == [[10, 12, 14]] * 3
    # however it is cut
    assert [a.status for a in server.ask(*(raw[i : i + 9] for i in range(0, len(raw), 9)))] == [200]


def test_connect_is_refused(server: Running) -> None:
    assert [a.status for a in server.ask(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + server.get("/v2"))] == [400]


# -- limits


def test_heads_over_the_limit(server: Running) -> None:
    value = "v" * 1000
    many = [f"X-{i}: {value}" for i in range(70)]
    small = ["a: b"] * 12_000  # 72,000 bytes, of which 24,000 are names and values
    for raw in (
        server.get("/v2", *small),
        server.post(PATH, body(), *small),
        server.get("/v2", *many),
        server.post(PATH, body(), *many),
        server.get("/" + "u" * 70_000),
        server.get("/v2", "X: " + "v" * 70_000),
    ):
        for size in (1 << 20, 8000, 1000):
            answers = server.ask(*(raw[i : i + size] for i in range(0, len(raw), size)))
            assert [a.status for a in answers] == [431], size
            assert "larger than 65536 bytes" in answers[0].json()["error"]


def test_a_large_head_within_the_limit_is_read_however_it_is_cut(server: Running) -> None:
    raw = server.get("/v2?" + "q" * 20_000, *(f"X-{i}: {'v' * 1000}" for i in range(40)))
    for size in (1 << 20, 5000, 500):
        assert [a.status for a in server.ask(*(raw[i : i + size] for i in range(0, len(raw), size)))] == [200]


def test_an_endless_head_is_cut_off(server: Running) -> None:
    for start in (b"GET /", b"GET /v2 HTTP/1.1\r\nX: ", b"GET /v2 HTTP/1.1\r\nX"):
        answers = server.ask(start, *[b"a" * 50_000] * 12, half_close=False)
        assert [a.status for a in answers] in ([431], [400])  # 400: what the parser itself does not take


def test_bodies_over_the_limit(servers: Callable[..., Running], hold: Callable[[Running], Held]) -> None:
    server = servers(max_body_bytes=1000)
    for path in (PATH, "/v2/models/doubl%65/infer", "/v2/repository/index"):
        whole = server.post(path, b" " * 1001)
        parts = chunked(path, *[b" " * 100] * 11)
        for raw in (whole, parts, parts[:-5]):
            answers = server.ask(raw, half_close=False)
            assert [a.status for a in answers] == [413]
            assert "larger than 1000 bytes" in answers[0].json()["error"]
        assert server.ask(server.post(path, b" " * 1000))[0].status in (200, 400)  # it is not JSON with inputs
    huge = b"POST /v2/models/double/infer HTTP/1.1\r\nContent-Length: %s\r\n\r\n"
    assert [a.status for a in server.ask(huge % b"999999999999999999999", half_close=False)] in ([413], [400])
    assert [a.status for a in server.ask(huge % b"9999999999999999999", half_close=False)] in ([413], [400])


def test_those_before_a_body_too_large_are_answered_first(server: Running, held: Held) -> None:
    with server.connect() as s:
        s.sendall(server.post("/test/hold", b"") * 2 + server.post(PATH, b"")[:-5] + b"%d\r\n\r\n" % (1 << 40))
        held.answer(1)
        held.answer(2)
        assert [a.status for a in server.answers(server.read_all(s))] == [200, 200, 413]


def test_an_answer_survives_what_the_client_still_sends(server: Running) -> None:
    head = b"POST /v2/models/double/infer HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (1 << 32)
    for _ in range(5):
        assert [a.status for a in server.ask(head, *[bytes(1 << 16)] * 64)] == [413]


# -- damage

DAMAGED = {
    "length and chunked": b"POST %s HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST %s HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": b"POST %s HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"POST %s HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a signed length": b"POST %s HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
    "a negative length": b"POST %s HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello",
    "a length in hex": b"POST %s HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello",
    "an empty length": b"POST %s HTTP/1.1\r\nContent-Length: \r\n\r\nhello",
    "a chunk size that is none": b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "a signed chunk size": b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    "a chunk size without end": b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\nx",
    "a chunk longer than it says": b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "chunked is not last": b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\nhello",
    "chunked misspelt": b"POST %s HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"POST %s HTTP/1.1\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"POST %s HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello",
    "bare line feeds": b"POST %s HTTP/1.1\nContent-Length: 0\n\n",
    "a bare return": b"POST %s HTTP/1.1\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a header": b"POST %s HTTP/1.1\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": b"POST %s HTTP/1.1\r\nX\0: a\r\nContent-Length: 0\r\n\r\n",
    "HTTP/9.9": b"POST %s HTTP/9.9\r\n\r\n",
    "a method that is none": b"PO ST %s HTTP/1.1\r\n\r\n",
    "a method in lower case": b"post %s HTTP/1.1\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303"),
    "an empty name": b"POST %s HTTP/1.1\r\n: a\r\n\r\n",
    "a line that is no header": b"POST %s HTTP/1.1\r\nhello\r\n\r\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_not_http_is_refused_and_nothing_after_it_is_read(server: Running, held: Held, name: str) -> None:
    raw = DAMAGED[name].replace(b"%s", PATH.encode()).replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: a\r\n")
    after = server.post("/test/hold", b"")
    answers = server.ask(server.get("/v2") + raw + after, half_close=False)
    assert answers[0].status == 200 and answers[-1].headers["connection"] == "close"
    assert [a.status for a in answers[1:]] == [400], answers
    assert answers[1].json()["error"].startswith("the request is not valid HTTP: ")
    assert held.requests == []


@pytest.mark.parametrize("version", [b"", b" HTTP/2.0", b" HTTP/1.0"])
def test_versions_without_keep_alive_are_answered_once(server: Running, held: Held, version: bytes) -> None:
    answers = server.ask(b"GET /v2%s\r\n\r\n" % version + server.post("/test/hold", b""), half_close=False)
    assert [a.status for a in answers] == [200] and answers[0].headers["connection"] == "close"
    assert held.requests == []


def test_random_bytes(server: Running) -> None:
    random.seed(1)
    for _ in range(100):
        raw = random.randbytes(random.randrange(1, 300))
        assert [a.status for a in server.ask(raw)] in ([], [400])


def test_partial_requests_are_closed_without_an_answer(server: Running) -> None:
    raw = server.post(PATH, body())
    for at in (1, 10, len(raw) - 1):
        assert server.talk(raw[:at]) == b""


def test_damage_behind_requests_in_flight(server: Running, held: Held) -> None:
    half = chunked(PATH, b"x", end=b"zz\r\n")  # it breaks within its body, while it waits its turn
    for damage in (b"\0\r\n\r\n", half):
        first = len(held.requests) + 1
        with server.connect() as s:
            s.sendall(server.post("/test/hold", b"") * 2 + damage)
            held.answer(first)
            held.answer(first + 1)
            assert [a.status for a in server.answers(server.read_all(s))] == [200, 200, 400]


def test_damage_behind_a_slow_request_in_flight(server: Running) -> None:
    answers = server.ask(server.get("/v2/models/double") + b"\0\r\n\r\n", half_close=False)
    assert [a.status for a in answers] == [200, 400]


def test_a_client_may_be_gone_at_any_time(server: Running, held: Held) -> None:
    raw = server.post("/test/hold", b"x")

    def all_gone() -> bool:
        # those that waited behind the first may be started before the reset is seen
        for _, _, responder in held.requests:
            responder.send(200, [], b"")
        return not server.connections

    for piece in (raw, raw * 3, raw + raw[:-1], raw + b"\0\r\n\r\n"):
        count = len(held.requests) + 1
        with server.connect() as s:
            s.sendall(piece)
            responder = held.wait(count)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not closed
        if piece is raw:
            server.until(lambda r=responder: r.closed)  # type: ignore[misc]
        server.until(all_gone)
    assert server.ask(server.get("/v2"))[0].status == 200
