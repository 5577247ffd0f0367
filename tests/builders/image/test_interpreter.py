"""Which Python a base has."""

from __future__ import annotations

import pytest
from gantline.builders.image.elf import Elf
from gantline.builders.image.interpreter import Interpreter, find_interpreter
from gantline.builders.image.tree import FILE, LINK, Node, Tree

from gantline.errors import BadArtefact


def tree(*paths: str, **links: str) -> Tree:
    made = Tree()
    made.lay([(path, Node(FILE, 1)) for path in paths])
    made.lay([(path, Node(LINK, link=target)) for path, target in links.items()])
    return made


def test_local_before_the_system_and_newer_before_older() -> None:
    files = "usr/bin/python3.12", "usr/local/bin/python3.10", "usr/local/bin/python3.9", "usr/bin/python3.12-config"
    assert find_interpreter(tree(*files), "x").path == "/usr/local/bin/python3.10"
    assert find_interpreter(tree(*files), "x", (3, 12)).path == "/usr/bin/python3.12"
    assert find_interpreter(tree("opt/conda/bin/python3.13"), "x").python == (3, 13)


def test_through_links() -> None:
    made = tree("usr/lib/cpython/python", **{"usr/local/bin/python3.11": "/usr/lib/cpython/python", "bin": "usr/bin"})
    assert find_interpreter(made, "x") == Interpreter("/usr/local/bin/python3.11", "usr/lib/cpython/python", (3, 11))
    with pytest.raises(BadArtefact, match=r"no python3\.N"):
        find_interpreter(tree(**{"usr/bin/python3.11": "nowhere"}), "x")


def test_python3_alone_is_as_its_library_says() -> None:
    made = tree("usr/bin/python3", "usr/lib/python3.12/os.py", "usr/lib/python3/dist-packages/x.py")
    assert find_interpreter(made, "x") == Interpreter("/usr/bin/python3", "usr/bin/python3", (3, 12))
    with pytest.raises(BadArtefact):
        find_interpreter(tree("usr/bin/python3", "usr/lib/python3.12/os.py", "usr/lib/python3.11/os.py"), "x")


def test_none_of_that_version() -> None:
    with pytest.raises(BadArtefact, match=r"base x: has Python 3\.11, not 3\.12; .*python:3\.12-slim.* noble "):
        find_interpreter(tree("usr/bin/python3.11"), "x", (3, 12))
    with pytest.raises(BadArtefact, match=r"has no python3\.N; .*python:3\.11-slim.*sudo debootstrap .*bookworm"):
        find_interpreter(tree("usr/bin/perl"), "x")


def test_without_its_standard_library() -> None:
    made = tree("usr/lib/python3.11/os.py")
    made.lay([("usr/bin/python3.11", Node(FILE, 1, elf=Elf("amd64", True)))])
    with pytest.raises(BadArtefact, match=r"libpython3\.11-stdlib"):
        find_interpreter(made, "x")
    made.lay([("usr/lib/python3.11/asyncio/__init__.py", Node(FILE))])
    assert find_interpreter(made, "x").python == (3, 11)
