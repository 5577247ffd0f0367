"""Documents: the same bytes for the same trees, in the order in which they were made."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from gantline.builders.deploy.documents import to_yaml


def test_yaml_that_reads_back() -> None:
    shared: dict[str, Any] = {"on": "yes", "n": "8000", "true": True}
    trees: list[dict[str, Any]] = [{"b": shared, "a": [shared, "ü"]}, {"c": 1}]
    text = to_yaml(trees)
    assert list(yaml.safe_load_all(text)) == trees
    assert text.startswith("b:\n") and "&id" not in text and "ü" in text


@pytest.mark.parametrize(
    "word", ["1e5", "08", "0o17", "12e345678901", "y", "N", "yes", "null", "1_000", ".5", "+1", "22:30"]
)
def test_words_stay_words_to_every_reader(word: str) -> None:
    """Kubernetes reads YAML 1.2 as Go does, where 1e5 is a number, and refuses one as a variable or a label."""
    assert to_yaml([{"value": word}]) == f"value: '{word}'\n"
    assert to_yaml([{word: 1}]) == f"'{word}': 1\n"


def test_what_is_plain_stays_plain() -> None:
    assert to_yaml([{"a": "r.example/x:1", "b": 5, "c": True, "d": "two words"}]) == (
        "a: r.example/x:1\nb: 5\nc: true\nd: two words\n"
    )
