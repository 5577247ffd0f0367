"""Forests as ONNX, run by onnxruntime and held to the rule in forest.py, written down once more here row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders.forest import LEAF, Forest, Tree
from gantline.builders.forest_onnx import DOUBLE, FLOAT, attributes, rounded
from onnx import helper

from gantline.tensors import Array

R = np.random.default_rng(5)
WIDTH = 5  # the last column holds codes
THRESHOLDS = np.array([-1.0, -1e-7, 0.0, 0.1, 0.30000001192092896, 2.5])


def grown(depth: int, output: int) -> Tree:
    """A random tree, each node of which may ask for a number or for a category."""
    inner = (1 << depth) - 1
    nodes, count = np.arange(inner), 2 * inner + 1
    leaves = np.full(inner + 1, LEAF)
    feature = R.integers(0, WIDTH, count)
    sets = {int(n): tuple(sorted(set(R.integers(0, 40, 5).tolist()))) for n in nodes if feature[n] == WIDTH - 1}
    return Tree(
        left=np.concatenate([2 * nodes + 1, leaves]),
        right=np.concatenate([2 * nodes + 2, leaves]),
        feature=feature,
        threshold=R.choice(THRESHOLDS, count),
        missing_left=R.random(count) < 0.5,
        value=R.normal(size=count),
        output=output,
        categories=sets,
    )


def margin(forest: Forest, row: Array) -> Array:
    out = np.array(forest.base, np.float64)
    for tree in forest.trees:
        node = 0
        while tree.left[node] != LEAF:
            x = row[tree.feature[node]]
            if np.isnan(x):
                goes = tree.missing_left[node]
            elif node in tree.categories:
                goes = x in tree.categories[node]
            else:
                goes = x < tree.threshold[node] if forest.strict else x <= tree.threshold[node]
            node = int((tree.left if goes else tree.right)[node])
        out[tree.output] += tree.value[node]
    return out


def rows() -> Array:
    """Numbers on and beside the thresholds, with holes; codes that are known, and some that are not."""
    near = np.concatenate([np.nextafter(np.float32(THRESHOLDS), np.float32(s)) for s in (-9, 9)] + [THRESHOLDS])
    out = R.choice(near, (600, WIDTH)).astype(np.float32)
    out[:, -1] = R.integers(-1, 60, 600)
    out[R.random(out.shape) < 0.1] = np.nan
    return out


def run(forest: Forest, kind: int, values: Array, path: Path) -> Array:
    facts: dict[str, Any] = attributes(forest, kind)
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["y"], domain="ai.onnx.ml", **facts)
    given = helper.make_tensor_value_info("X", kind, [None, forest.width])
    answer = helper.make_tensor_value_info("y", FLOAT, [None, forest.outputs])
    graph = helper.make_graph([node], "forest", [given], [answer])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    engine = open_model(path)
    return engine.run({"X": values.astype(np.float64 if kind == DOUBLE else np.float32)}, ["y"])[0]


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE])
@pytest.mark.parametrize("strict", [True, False])
def test_it_answers_by_the_rule(tmp_path: Path, strict: bool, kind: int) -> None:
    trees = tuple(grown(depth, output) for depth in (0, 1, 3, 5, 5) for output in (0, 1))
    forest = Forest(trees, WIDTH, (0.25, -3.0), strict=strict)
    values = rows()
    want = np.array([margin(forest, row.astype(np.float64)) for row in values])
    np.testing.assert_allclose(run(forest, kind, values, tmp_path / "f.onnx"), want, atol=1e-5)


def test_no_trees_at_all(tmp_path: Path) -> None:
    got = run(Forest((), 2, (1.5, 2.5)), FLOAT, np.zeros((3, 2)), tmp_path / "f.onnx")
    np.testing.assert_array_equal(got, np.tile([1.5, 2.5], (3, 1)))


@pytest.mark.parametrize("strict", [True, False])
def test_rounded_thresholds_part_the_same_float32_numbers(strict: bool) -> None:
    exact = np.concatenate([R.normal(size=2000), [0.1, -0.1, 1e-300, -1e-300, 1e39, -1e39, 0.5]])
    near = rounded(exact, strict)
    with np.errstate(over="ignore"):
        middle = exact.astype(np.float32)
    for x in (middle, np.nextafter(middle, np.float32(np.inf)), np.nextafter(middle, np.float32(-np.inf))):
        whole = x.astype(np.float64)
        np.testing.assert_array_equal(x < near if strict else x <= near, whole < exact if strict else whole <= exact)
