"""The commands of the README and other pages are typed here, in order, in an empty directory, as a new user would.

A `console` block holds commands ("$ ", continued by "> ") and what they print ("..." stands for anything); `bash` and
`python` blocks are run whole. Before a block, `<!-- file: NAME -->` saves it instead, and `<!-- not run: REASON -->`
leaves it out. `gantline serve` stays running until the end, on a free port in place of 8000.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.readme

BLOCK = re.compile(r"(?:<!-- (file|not run): ([^>]+?) -->\s*\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = ("bash", "console", "python")
PAGES = ("README.md", "docs/scripts.md")
LIMIT_S = 120


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    mark: str = ""  # file | not run
    word: str = ""  # the file's name, or the reason


@dataclass(frozen=True)
class Command:
    text: str
    expected: str


def blocks(text: str) -> list[Block]:
    return [Block(m[3], m[4], m[1] or "", m[2] or "") for m in BLOCK.finditer(text)]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block, each with the output that is shown for it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.split("\n")
        more = next((i for i, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        yield Command("\n".join([lines[0], *(line[2:] for line in lines[1:more])]), "\n".join(lines[more:]).strip())


class Reader:
    """Somebody who types what the README says."""

    def __init__(self, folder: Path, port: int, grpc_port: int) -> None:
        self.folder = folder
        self.port, self.grpc_port = port, grpc_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.servers: list[subprocess.Popen[bytes]] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**kept, "PATH": path, "GANTLINE_HTTP_PORT": str(self.port), "GANTLINE_URL": self.url}
        self.environ["GANTLINE_GRPC_PORT"] = str(self.grpc_port)
        self.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}

    def do(self, block: Block) -> None:
        text = block.text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        text = text.replace("127.0.0.1:8001", f"127.0.0.1:{self.grpc_port}")
        if block.mark == "file":
            (self.folder / block.word).write_text(text)
        elif block.language == "python":
            self.type([sys.executable, "-W", "error", "-c", text])
        elif block.language == "bash":
            self.type(["bash", "-euo", "pipefail", "-c", text])
        else:
            for command in commands(Block("console", text)):
                self.enter(command)

    def enter(self, command: Command) -> None:
        if command.text.startswith("gantline serve"):
            self.serve(command)
            return
        printed = self.type(["bash", "-euo", "pipefail", "-c", command.text])
        if command.expected:
            assert same(command.expected, printed), f"$ {command.text}\n{printed}\n-- README shows:\n{command.expected}"

    def type(self, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, f"{words[-1]}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def serve(self, command: Command) -> None:
        """Start a server and read until it has said what the README shows."""
        words = ["bash", "-c", f"exec {command.text}"]
        server = subprocess.Popen(words, cwd=self.folder, env=self.environ, stdout=subprocess.PIPE)
        self.servers.append(server)
        assert server.stdout is not None
        shown = [server.stdout.readline().decode() for _ in command.expected.splitlines() or [""]]
        if command.expected:
            assert same(command.expected, "".join(shown))
        with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=LIMIT_S) as answer:
            assert answer.status == 200

    def leave(self) -> list[int]:
        """Stop the servers; their exit codes."""
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
        codes = [server.wait(LIMIT_S) for server in self.servers]
        for server in self.servers:
            if server.stdout is not None:
                server.stdout.close()
        return codes


def same(expected: str, printed: str) -> bool:
    """Whether the output is as shown; "..." in the text shown stands for anything."""
    want, got = ("\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n" for text in (expected, printed))
    return doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS)


@pytest.fixture
def reader(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Reader]:
    one = Reader(tmp_path, free_port(), free_port())
    yield one
    codes = one.leave()
    assert codes == [0] * len(codes)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_is_typed(root: Path, reader: Reader, page: str) -> None:
    found = [b for b in blocks((root / page).read_text("utf-8")) if b.language in RUN and b.mark != "not run"]
    assert {b.language for b in found} >= {"console", "python"}
    for block in found:
        reader.do(block)
    assert reader.servers, "the tour serves nothing"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_left_out_says_why(root: Path, page: str) -> None:
    text = (root / page).read_text("utf-8")
    for block in blocks(text):
        assert block.mark != "not run" or len(block.word.split()) >= 4
    assert text.count("```") == 2 * len(blocks(text)), "a block without a language, or one that is not closed"


def test_a_reader_notices(tmp_path: Path) -> None:
    reader = Reader(tmp_path, 8000, 8001)
    reader.do(Block("console", "$ echo one\none\n$ printf 'a\\nb\\nc\\n' |\n> cat\na\n...\nc\n"))
    with pytest.raises(AssertionError, match="README shows"):
        reader.do(Block("console", "$ echo one\ntwo\n"))
    with pytest.raises(AssertionError, match="exit code 3"):
        reader.do(Block("bash", "exit 3\n"))
    with pytest.raises(AssertionError, match="exit code 1"):
        reader.do(Block("python", "raise SystemExit('no')\n"))
