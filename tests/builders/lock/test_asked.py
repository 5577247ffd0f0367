"""Requirement lines: whose they are, what they are called, and what options among them mean."""

from __future__ import annotations

import pytest
from gantline.builders.lock.asked import SCRIPT, Asked, read_lines
from gantline.builders.lock.sources import Sources

from gantline.errors import BadArtefact, UsageError


@pytest.mark.parametrize(
    ("line", "name", "source"),
    [
        ("NumPy>=1.26", "numpy", False),
        ("scikit_learn==1.5 ; python_version < '3.13'", "scikit-learn", False),
        ("zope.interface[test]>=5", "zope-interface", False),
        ("forest @ https://u:p@example.invalid/forest-1.0-py3-none-any.whl", "forest", False),
        ("https://example.invalid/a/Forest_Pine-1.0-py3-none-any.whl#sha256=ab", "forest-pine", False),
        ("https://example.invalid/forest-1.0.tar.gz", "", True),
        ("git+https://example.invalid/x.git@v1#egg=forest", "forest", True),
        ("forest @ git+ssh://git@example.invalid/x.git", "forest", True),
    ],
)
def test_names(line: str, name: str, source: bool) -> None:
    assert (Asked(line, "x").name, Asked(line, "x").is_source) == (name, source)


def test_passwords_are_not_shown() -> None:
    one = Asked("forest @ https://user:secret@example.invalid/forest-1.0-py3-none-any.whl", "the package")
    assert str(one) == "'forest @ https://example.invalid/forest-1.0-py3-none-any.whl' (the package)"


def test_variables_in_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    _, sources = read_lines(["--index-url https://u:${TOKEN}@x.invalid/${NOT_SET}"], "x", SCRIPT, Sources())
    assert sources.index == "https://u:secret@x.invalid/${NOT_SET}"


def test_hashes_and_options() -> None:
    lines = [
        "--index-url https://a.invalid/simple", "--extra-index-url=https://b.invalid/simple", "-f wheels", "-fmore",
        "--pre", "--trusted-host b.invalid", "--only-binary :all:",
        "forest==1.0 --hash=sha256:aa --hash=sha512:bb --hash sha256:cc",
    ]  # fmt: skip
    asked, sources = read_lines(lines, "the package", SCRIPT, Sources(extra=("https://z.invalid",)))
    assert asked == [Asked("forest==1.0", "the package", SCRIPT, ("sha256:aa", "sha256:cc"))]
    assert sources == Sources(
        "https://a.invalid/simple", ("https://z.invalid", "https://b.invalid/simple"), ("wheels", "more"),
        prereleases=True, trusted=("b.invalid",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--no-binary forest", "images hold wheels; take the line out"),
        ("--colour blue", "locking does not know this option"),
        ("--index-url", "does not know"),
        ("forest==1.0 --hash=md5:aa", "none by sha256"),
        ("--find-links 'open", "No closing quotation"),
    ],
)
def test_lines_without_a_meaning(line: str, why: str) -> None:
    with pytest.raises(BadArtefact, match=why) as caught:
        read_lines([line], "the package", SCRIPT, Sources())
    assert "(the package)" in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "--proxy http://user:s3cr3t@proxy.invalid",
        "--index-url 'https://user:s3cr3t@x.invalid",
        "https://user:a@s3cr3t@x.invalid/own-1.0-py3-none-any.whl --hash=md5:aa",
        "--trusted-host user:s3cr3t@x.invalid",
    ],
)
def test_no_password_is_told(line: str) -> None:
    with pytest.raises((BadArtefact, UsageError)) as told:
        read_lines([line], "the package", SCRIPT, Sources())
    assert "s3cr3t" not in str(told.value)


def test_variables_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_TOKEN", "s3cr3t")
    line = "own @ https://me:${OWN_TOKEN}@x.invalid/own-1.0-py3-none-any.whl"
    (one,), _ = read_lines([line], "the package", SCRIPT, Sources())
    assert "me:s3cr3t@" in one.line and one.shown == "own @ https://x.invalid/own-1.0-py3-none-any.whl"
