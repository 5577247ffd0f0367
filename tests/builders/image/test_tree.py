"""A file system of names: links, layers upon each other, whiteouts."""

from __future__ import annotations

import pytest
from gantline.builders.image.elf import Elf
from gantline.builders.image.tree import FILE, FOLDER, HARD, LINK, Node, Tree

from gantline.errors import BadArtefact


def made(*paths: str, **links: str) -> Tree:
    tree = Tree()
    tree.lay([(p, Node(FILE, 1)) for p in paths])
    return tree


def link(path: str, target: str) -> tuple[str, Node]:
    return path, Node(LINK, link=target)


def test_links() -> None:
    tree = made("usr/lib/x86/libc.so", "usr/bin/python3.11")
    tree.lay(
        [link("lib", "usr/lib"), link("usr/bin/python3", "python3.11"), link("usr/bin/python", "/usr/bin/python3")]
    )
    tree.lay([link("a", "b"), link("b", "a"), link("up", "../../../../usr"), link("gone", "usr/nothing")])
    assert tree.resolve("lib/x86/libc.so") == "usr/lib/x86/libc.so"
    assert tree.resolve("usr/bin/python") == "usr/bin/python3.11"
    assert tree.resolve("up/lib/../bin/./python") == "usr/bin/python3.11", "never above the root"
    assert tree.resolve("a") is None and tree.resolve("gone") is None
    assert tree.resolve("usr/bin/python3.11/x") is None, "a file is no folder"
    assert tree.names("lib") == ("x86",) and tree.names("nowhere") == ()
    assert tree.resolve("") == ""


def test_new_files_come_to_lie_where_links_lead() -> None:
    tree = made("usr/lib/x86_64-linux-gnu/libc.so.6")
    tree.lay([link("lib", "usr/lib")])
    assert tree.place("lib/x86_64-linux-gnu/new.so") == "usr/lib/x86_64-linux-gnu/new.so"
    assert tree.place("lib/new/deep/file") == "usr/lib/new/deep/file"
    assert tree.place("opt/x") == "opt/x" and tree.place("x") == "x"


def test_whiteouts_hide_what_is_below() -> None:
    tree = made("etc/a", "etc/b", "var/x/1", "var/x/2", "srv/deep/file")
    tree.lay(
        [
            ("etc/a", Node(FILE, 7)), ("etc/.wh.a", Node(FILE)), ("etc/.wh.b", Node(FILE)),
            ("var/x/3", Node(FILE, 3)), ("var/x/.wh..wh..opq", Node(FILE)), (".wh.srv", Node(FILE)),
        ]
    )  # fmt: skip
    assert tree.names("etc") == ("a",) and tree.find("etc/a") == Node(FILE, 7), "its own file stays, whatever the order"
    assert tree.names("var/x") == ("3",)
    assert tree.names("") == ("etc", "var")
    tree.lay([(".wh.nothing", Node(FILE)), ("no/such/.wh..wh..opq", Node(FILE))])
    assert tree.names("") == ("etc", "var")


def test_one_kind_takes_the_place_of_another() -> None:
    tree = made("a/file", "b")
    tree.lay([("a", Node(FILE, 5)), ("b/inside", Node(FILE))])
    assert tree.find("a/file") is None and tree.find("b/inside")
    tree.lay([link("l", "b"), ("l/through", Node(FILE))])
    assert tree.find("b/through"), "through a link, as engines do it"
    tree.lay([("l", Node(FOLDER)), ("l/own", Node(FILE))])
    assert tree.names("l") == ("own",), "a folder that the layer names replaces the link"
    tree.lay([("b", Node(FOLDER))])
    assert tree.names("b") == ("inside", "through"), "a folder upon a folder changes nothing below it"


def test_hard_links() -> None:
    tree = made()
    file = Node(FILE, 9, elf=Elf("amd64", True))
    tree.lay([("one", file), ("two", Node(HARD, link="one")), ("three", Node(HARD, link="none"))])
    assert tree.find("two") is file
    assert tree.find("three") == Node("other")


def test_kept_and_read() -> None:
    tree = made("a/b/c", "d")
    tree.lay([link("l", "a/b"), ("e", Node(FILE, 3, elf=Elf("arm64", True, ("x",)), text="2.36")), ("f", Node(FOLDER))])
    again = Tree.from_json(tree.to_json())
    assert dict(again.walk()) == dict(tree.walk())
    assert again.resolve("l/c") == "a/b/c" and again.names("f") == ()


def test_too_deep() -> None:
    with pytest.raises(BadArtefact, match="folders deep"):
        made("x/" * 300 + "y")
