"""generate and generate_stream over real sockets, with a real script: answers, events, errors, and who leaves."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

SCRIPT = """
import numpy as np
from pathlib import Path

INPUTS = {"text": ("BYTES", [1])}
OUTPUTS = {"word": ("BYTES", [1])}
LOG = Path(__file__).with_name("log")

def infer(inputs):
    text = inputs["text"][0].decode()
    try:
        for word in text.split():
            if word == "fail":
                raise ValueError("secret")
            if word == "on":
                while True:
                    yield {"word": np.array(["x" * 1000])}
            if word == "five":
                yield {"word": np.array([5])}
            if word == "bytes":
                yield {"word": np.array([b"\\xff"])}
            yield {"word": np.array([word])}
    finally:
        with LOG.open("a") as log:
            log.write(f"closed {text}\\n")
"""
PATH = "/v2/models/words"


@pytest.fixture(scope="module")
def words(servers: Callable[..., Running], zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("words")
    (folder / "score.py").write_text(SCRIPT)
    gantline.package(script=folder / "score.py", name="words", output=folder / "words.pkg")
    return servers(folder / "words.pkg", zoo / "double.onnx")


def post(server: Running, path: str, body: bytes | dict[str, Any], *headers: str) -> Answer:
    (answer,) = server.ask(server.post(path, body, *headers))
    return answer


def events(body: bytes) -> list[Any]:
    *found, rest = body.split(b"\n\n")
    assert rest == b"" and all(one.startswith(b"data: ") for one in found)
    return [json.loads(one.removeprefix(b"data: ")) for one in found]


def test_a_stream_of_events(words: Running) -> None:
    for path in (PATH, PATH + "/versions/1"):
        answer = post(words, f"{path}/generate_stream", {"text": "to be or", "id": "mine", "temperature": 1})
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert events(answer.body) == [
            {"model_name": "words", "model_version": "1", "id": "mine", "word": w} for w in ("to", "be", "or")
        ]
    answer = post(words, f"{PATH}/generate_stream", {"text": ""})
    assert (answer.status, events(answer.body)) == (200, [])


def test_exactly_one_answer(words: Running) -> None:
    answer = post(words, f"{PATH}/generate", {"text": "one"})
    assert (answer.status, answer.json()) == (200, {"model_name": "words", "model_version": "1", "word": "one"})
    for text in ("", "two words"):
        answer = post(words, f"{PATH}/generate", {"text": text})
        assert answer.status == 400 and "exactly 1 answer" in answer.json()["error"]


def test_an_ordinary_model_answers_too(words: Running) -> None:
    answer = post(words, "/v2/models/double/generate", {"x": [1, 2, 3]})
    assert answer.json() == {"model_name": "double", "model_version": "1", "y": [2, 4, 6]}
    answer = post(words, "/v2/models/double/generate_stream", {"x": [[1, 2, 3], [4, 5, 6]]})
    assert [e["y"] for e in events(answer.body)] == [[[2, 4, 6], [8, 10, 12]]]


def test_an_error_before_the_first_event_has_its_status_and_after_it_is_one(words: Running) -> None:
    for verb in ("generate", "generate_stream"):
        for path, body, headers, status in (
            (PATH, b"[]", (), 400),
            (PATH, {"text": 5}, (), 400),
            (PATH, {}, (), 400),
            (PATH, {"text": "fail"}, (), 500),
            ("/v2/models/nope", {"text": "a"}, (), 404),
            (PATH + "/versions/7", {"text": "a"}, (), 404),
            (PATH + "/versions/x", {"text": "a"}, (), 404),
            (PATH, {"text": "a"}, ("Content-Encoding: gzip",), 400),
        ):
            answer = post(words, f"{path}/{verb}", body, *headers)
            assert answer.status == status, (path, body)
            assert "secret" not in answer.json()["error"]
    answer = post(words, f"{PATH}/generate_stream", {"text": "well then fail"})
    assert answer.status == 200
    *good, bad = events(answer.body)
    assert [e["word"] for e in good] == ["well", "then"] and list(bad) == ["error"] and "secret" not in bad["error"]


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("five", "output 'word' is BYTES (str or bytes), but infer() yielded int64 of shape [1]"),
        ("bytes", "output 'word' holds bytes that are not UTF-8, which JSON cannot carry; ask for it over gRPC"),
    ],
)
def test_what_is_no_text_ends_the_stream_with_an_error_that_says_so(words: Running, word: str, why: str) -> None:
    answer = post(words, f"{PATH}/generate_stream", {"text": f"well {word} then"})
    assert answer.status == 200
    good, bad = events(answer.body)
    assert good["word"] == "well" and bad["error"].endswith(why)
    for verb in ("generate", "generate_stream"):
        first = post(words, f"{PATH}/{verb}", {"text": word})
        assert first.status == 500 and first.json()["error"].endswith(why)
    answer = post(words, f"{PATH}/generate", {"text": "after"})
    assert answer.json()["word"] == "after", "the host goes on"


def test_infer_is_not_for_it_and_its_configuration_says_so(words: Running) -> None:
    x = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    answer = post(words, f"{PATH}/infer", {"inputs": [x]})
    assert answer.status == 501 and "generate_stream" in answer.json()["error"]
    (answer,) = words.ask(words.get(f"{PATH}/config"))
    assert answer.json()["model_transaction_policy"] == {"decoupled": True} and answer.json()["max_batch_size"] == 0


@pytest.fixture
def endless(words: Running) -> Iterator[socket.socket]:
    """A client in the middle of an endless stream."""
    with words.connect() as s:
        s.sendall(words.post(f"{PATH}/generate_stream", {"text": "on and on"}))
        assert s.recv(100).startswith(b"HTTP/1.1 200")
        yield s


def test_a_client_that_leaves_stops_the_script(words: Running, endless: socket.socket) -> None:
    engine: Any = words.stack.repository.find("words").session.engine
    log = Path(engine.host._supervisor._launch.config["entry"]).with_name("log")
    before = log.read_text().count("closed on and on") if log.exists() else 0
    cancelled = words.stack.repository.find("words").statistics.cancelled
    endless.close()
    words.until(lambda: log.exists() and log.read_text().count("closed on and on") > before)
    words.until(lambda: engine.host.in_flight == 0)
    assert words.stack.repository.find("words").statistics.cancelled == cancelled + 1
    words.until(lambda: words.stack.core.budget.held == 0)


def test_a_client_that_reads_slowly_slows_the_script_and_nobody_else(words: Running, endless: socket.socket) -> None:
    statistics = words.stack.repository.find("words").statistics
    made = -1

    def still() -> bool:
        nonlocal made
        before, made = made, sum(d["success"].count for d in statistics.responses.values())
        return before == made

    words.until(still)  # the sockets are full, and it stands
    assert post(words, f"{PATH}/generate", {"text": "meanwhile"}).json()["word"] == "meanwhile"
    taken = 0
    while taken < 20 << 20:  # and goes on when it is read
        taken += len(endless.recv(1 << 20))


def test_an_open_stream_is_finished_when_the_server_stops(servers: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "from pathlib import Path\n"
        "import time\n"
        "INPUTS = OUTPUTS = {'x': ('FP32', [1])}\n"
        "def infer(inputs):\n"
        "    go = Path(__file__).with_name('go')\n"
        "    yield inputs\n"
        "    while not go.exists():\n"
        "        time.sleep(0.01)\n"
        "    for _ in range(100):\n"
        "        yield inputs\n"
    )
    gantline.package(script=tmp_path / "score.py", name="slow", output=tmp_path / "slow.pkg")
    server = servers(tmp_path / "slow.pkg")
    with server.connect() as s:
        s.sendall(server.post("/v2/models/slow/generate_stream", {"x": 5}))
        start = s.recv(1 << 16)
        server.stop()
        server.until(lambda: server.stack.front.draining)
        (tmp_path / "slow.pkg" / "code" / "go").touch()
        (answer,) = server.answers(start + server.read_all(s))
    assert [e["x"] for e in events(answer.body)] == [5.0] * 101
    server.wait()
