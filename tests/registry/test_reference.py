"""What a reference may look like."""

from __future__ import annotations

import pytest

from gantline.errors import UsageError
from gantline.registry.reference import Reference, check_alias

D = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("iris", Reference("iris")),
        ("registry://iris", Reference("iris")),
        ("registry://iris:12", Reference("iris", version=12)),
        ("iris@champion", Reference("iris", alias="champion")),
        ("iris@latest", Reference("iris")),
        (f"iris@{D}", Reference("iris", digest=D)),
    ],
)
def test_taken_apart_and_put_together(text: str, meant: Reference) -> None:
    assert Reference.parse(text) == meant
    assert Reference.parse(str(meant)) == meant


@pytest.mark.parametrize(
    "text",
    ["", "iris:", "iris:0", "iris:-1", "iris:1.0", "iris:x", "iris:99999999999", "iris:٣", "iris@", "iris:1@champion",
     "iris@a:b", "a/b", "iris@sha256:12", "registry://", ".iris", "iris@3"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("alias", "why"), [("3", "version"), ("latest", "newest"), ("a b", "use 1 to 128"), ("", "use")]
)
def test_what_is_no_alias(alias: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"alias .*{why}"):
        check_alias(alias)
