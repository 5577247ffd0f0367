"""Azure documents with every key in turn holding something else: an error in one line, or a plan; never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gantline.builders.from_azure import plan_of, recognises
from gantline.builders.source import Source

from gantline.errors import GantlineError
from tests.builders.test_from_azure import DEPLOYMENT, INFERENCE, SETTINGS, first, second

VALUES: tuple[Any, ...] = (None, 3, True, "x", ["a"], {"a": 1}, "../..", "a\0b", "x" * 5000, [[["x"]]], float("inf"))


def paths(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a document is."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield (*above, key)
        yield from paths(value, (*above, key))


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    out = found = copy.deepcopy(tree)
    for key in path[:-1]:
        found = found[key]
    found[path[-1]] = value
    return out


def deployment(root: Path, tree: Any) -> Path:
    folder = second(root)
    (folder / "blue-deployment.yml").write_text(yaml.safe_dump(tree))
    return folder / "blue-deployment.yml"


def inference(root: Path, tree: Any) -> Path:
    return first(root, tree) / "inferenceconfig.json"


def settings(root: Path, tree: Any) -> Path:
    folder = first(root)
    (folder / "deploymentconfig.json").write_text(json.dumps(tree))
    return folder / "inferenceconfig.json"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "tree"), [(deployment, yaml.safe_load(DEPLOYMENT)), (inference, INFERENCE), (settings, SETTINGS)]
)
def test_no_value_ends_in_a_traceback(tmp_path: Path, write: Callable[[Path, Any], Path], tree: Any) -> None:
    tried = 0
    for path in paths(tree):
        for value in VALUES:
            source = Source("m", write(tmp_path, changed(tree, path, value)))
            tried += 1
            try:
                if recognises(source):
                    plan_of(source, tmp_path)
            except GantlineError as e:
                assert "\n" not in e.message and len(e.message) < 1500, (path, value)
    assert tried > 90


@pytest.mark.parametrize(
    ("write", "tree", "path", "value", "told"),
    [
        (deployment, yaml.safe_load(DEPLOYMENT), ("request_settings",), 3, "request_settings: expected an object"),
        (
            deployment, yaml.safe_load(DEPLOYMENT), ("code_configuration", "scoring_script"), "x" * 5000,
            "code_configuration.scoring_script: .* no such file",
        ),
        (inference, INFERENCE, ("environment", "python"), ["a"], "python: expected an object with keys"),
        (inference, INFERENCE, ("entryScript",), "x" * 5000, "entry_script: .*x: no such file"),
    ],
)  # fmt: skip
def test_some_of_them(
    tmp_path: Path, write: Callable[[Path, Any], Path], tree: Any, path: tuple[str, ...], value: Any, told: str
) -> None:
    with pytest.raises(GantlineError, match=told):
        plan_of(Source("m", write(tmp_path, changed(tree, path, value))), tmp_path)
