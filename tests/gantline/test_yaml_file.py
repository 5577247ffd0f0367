"""YAML files of others: read, or refused in one line that names the file and the line in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantline.errors import BadArtefact
from gantline.yaml_file import LARGEST, parse_yaml, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 10)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ä b.yml"
    path.write_bytes("\ufeffa: 1\r\nb: [x, {c: *d}]\r\n".replace("*d", "&d y").encode())
    assert read_yaml(path) == {"a": 1, "b": ["x", {"c": "y"}]}
    path.write_text("")
    assert read_yaml(path) is None
    assert parse_yaml("base: &b {k: [1, 2]}\none: {<<: *b, l: 3}\ntwo: *b\n", "text") == {
        "base": {"k": [1, 2]}, "one": {"k": [1, 2], "l": 3}, "two": {"k": [1, 2]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", r"line 1: not YAML"),
        ("a: 1\nb: *gone\n", r"line 2: not YAML \(found undefined alias"),
        ("a: 1\n\tb: 2", r"line 2: not YAML \(found character '\\t'"),
        ("a: !!python/object/apply:os.system [true]", "not YAML .could not determine a constructor"),
        ("when: 2026-13-40", "not YAML .month must be in"),
        ("n: " + "9" * 5000, "not YAML .Exceeds the limit"),
        ("{[1]: 2}", "unhashable key"),
        ("a: 1\n---\nb: 2", "expected a single document|another document"),
        pytest.param("[" * 2000 + "]" * 2000, "not YAML .maximum recursion", marks=pytest.mark.slow),
        ("\x00\x01", "not YAML"),
        (LAUGHS, "aliases stand for more than"),
        (MERGES, "aliases stand for more than"),
        ("a: &a [*a]", "aliases stand for more than"),
        ("&a {b: {c: *a}}", "aliases stand for more than"),
    ],
)
def test_what_is_refused_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "f.yml"
    path.write_text(text)
    with pytest.raises(BadArtefact, match=told) as e:
        read_yaml(path)
    assert e.value.message.startswith(str(path)) and "\n" not in e.value.message and len(e.value.message) < 600


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: 1\nb:\n  c: 1\n  d: {}\n  c: 2\n", "line 5: 'c' is there twice"), ("[{x: 1, x: 1}]", "line 1: 'x'")],
)
def test_a_key_that_is_there_twice(text: str, told: str) -> None:
    parse_yaml(text, "text")
    with pytest.raises(BadArtefact, match=f"^text: {told}"):
        parse_yaml(text, "text", careful=True)


def test_aliases_are_not_twice() -> None:
    text = "base: &b {k: 1}\none: {<<: *b, k: 2}\ntwo: *b\n"
    assert parse_yaml(text, "text", careful=True) == {"base": {"k": 1}, "one": {"k": 2}, "two": {"k": 1}}


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"cannot be read \(Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(BadArtefact, match=r"cannot be read \(No such file"):
        read_yaml(tmp_path / "gone")
    path = tmp_path / "f.yml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(BadArtefact, match="byte 3 is not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"# " + b" " * LARGEST)
    with pytest.raises(BadArtefact, match="is not read"):
        read_yaml(path)
