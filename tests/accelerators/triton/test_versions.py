"""Which versions a policy serves."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.accelerators.triton.versions import Policy, put_words, words_of

from gantline.errors import BadArtefact
from gantline.pb import message


@pytest.mark.parametrize(
    ("words", "pin", "served"),
    [
        ("latest:1", 0, [12]),
        ("latest", 0, [12]),
        ("latest:2", 0, [3, 12]),
        ("latest:99", 0, [1, 2, 3, 12]),
        ("all", 0, [1, 2, 3, 12]),
        ("2,12,99", 0, [2, 12]),
        ("latest:1", 2, [2, 12]),
        ("1,3", 3, [1, 3]),
    ],
)
def test_what_serves(words: str, pin: int, served: list[int]) -> None:
    assert Policy(words, pin).choose([1, 2, 3, 12], "m") == served


@pytest.mark.parametrize("words", ["latest:1", "latest:7", "all", "2", "1,3,12"])
def test_there_and_back_as_a_message(words: str) -> None:
    config = message("inference.ModelConfig")()
    config.version_policy.specific.versions[:] = [99]
    put_words(words, config.version_policy)
    assert words_of(config.version_policy) == words


def nothing() -> Any:
    """`version_policy { specific {} }`."""
    policy = message("inference.ModelVersionPolicy")()
    policy.specific.SetInParent()
    return policy


def test_what_cannot_serve_is_told() -> None:
    with pytest.raises(BadArtefact, match=r"repo/m: versions '7,8' serves none of the versions 1, 2"):
        Policy("7,8").choose([1, 2], "repo/m")
    with pytest.raises(BadArtefact, match=r"m: its version_policy names no version; it has 1, 2"):
        Policy(words_of(nothing())).choose([1, 2], "m")
    with pytest.raises(BadArtefact, match=r"m: default_version is 3, which is not there; it has 1, 2"):
        Policy("all", 3).choose([1, 2], "m")
