"""Documents: the same bytes for the same trees, in the order in which they were made."""

from __future__ import annotations

from typing import Any

import yaml
from gantline.builders.deploy.documents import to_yaml


def test_yaml_that_reads_back() -> None:
    shared: dict[str, Any] = {"on": "yes", "n": "8000", "true": True}
    trees: list[dict[str, Any]] = [{"b": shared, "a": [shared, "ü"]}, {"c": 1}]
    text = to_yaml(trees)
    assert list(yaml.safe_load_all(text)) == trees
    assert text.startswith("b:\n") and "&id" not in text and "ü" in text
