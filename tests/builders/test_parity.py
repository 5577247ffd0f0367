"""Measuring and judging: the source against the packaged model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from gantline.builders.parity import (
    BLOCK_ROWS,
    PROBES,
    Evidence,
    block_of,
    in_blocks,
    judge,
    loosened,
    measure,
    report,
)
from gantline.builders.source import Limits

from gantline.errors import VerificationFailed
from gantline.manifest import Manifest
from gantline.tensors import Array

NAMES = ("label", "score")


def model(shift: float = 0.0, threshold: float = 0.0) -> object:
    def run(inputs: Mapping[str, Array]) -> list[Array]:
        total = inputs["X"].sum(axis=1)
        return [(total > threshold).astype(np.int64), (total + shift).reshape(-1, 1)]

    return run


def rows(count: int) -> dict[str, Array]:
    return {"X": np.random.default_rng(1).standard_normal((count, 3)).astype(np.float32)}


def test_a_faithful_model_passes() -> None:
    found = measure(model(), model(), NAMES, Evidence("given", rows(1000)), True)  # type: ignore[arg-type]
    parity = judge([found], Limits(), "package 'm'")
    assert (parity.sample, parity.rows, parity.max_abs_error, parity.label_flips) == ("given", 1000, 0.0, 0)
    assert parity.outputs.keys() == {"label", "score"}
    manifest = Manifest(name="m", engine="onnx", parity=parity)
    assert Manifest.from_bytes(manifest.to_bytes(), "m").to_bytes() == manifest.to_bytes()


def test_a_breach_names_output_error_and_row() -> None:
    evidence = Evidence("synthetic", rows(50))
    found = measure(model(), model(shift=0.1), NAMES, evidence, True)  # type: ignore[arg-type]
    with pytest.raises(VerificationFailed) as caught:
        judge([found], Limits(), "package 'm'")
    text = caught.value.message
    assert "package 'm'" in text and "output 'score'" in text and "relative error" in text
    assert "row" in text and "on 50 synthetic rows" in text and "--rtol" in text
    assert judge([found], Limits(rtol=1.0), "m").max_abs_error == pytest.approx(0.1, rel=1e-4)


def test_label_flips_are_breaches_of_their_own() -> None:
    found = measure(model(), model(threshold=0.5), NAMES, Evidence("given", rows(400)), True)  # type: ignore[arg-type]
    flips = found.differences[0].flips
    assert 10 < flips < 200
    with pytest.raises(VerificationFailed, match=rf"output 'label': {flips} of 400 rows differ"):
        judge([found], Limits(rtol=1e9), "m")
    parity = judge([found], Limits(flips=flips), "m")
    assert parity.label_flips == flips and parity.loosened == (f"label flips 0 -> {flips}",)


def test_probes_are_counted_apart() -> None:
    some = Evidence("given", rows(10)), Evidence(PROBES, rows(40))
    found = [measure(model(), model(), NAMES, e, True) for e in some]  # type: ignore[arg-type]
    parity = report(found, Limits())
    assert (parity.sample, parity.rows, parity.near_threshold_probes) == ("given", 10, 40)


def test_only_wider_limits_are_loosened() -> None:
    assert loosened(Limits()) == () and loosened(Limits(rtol=1e-6)) == ()
    assert loosened(Limits(rtol=0.01, flips=3)) == ("rtol 0.0001 -> 0.01", "label flips 0 -> 3")


def test_answers_of_another_number_are_told() -> None:
    one = lambda inputs: [inputs["X"]]  # noqa: E731
    with pytest.raises(VerificationFailed, match="the source answers 1 outputs, the packaged model 2"):
        measure(one, model(), NAMES, Evidence("given", rows(2)), True)  # type: ignore[arg-type]


def test_rows_are_run_in_blocks() -> None:
    sizes = []

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        sizes.append(len(inputs["X"]))
        return [inputs["X"] * 2]

    data = rows(21)
    (out,) = in_blocks(run, data, 8)
    assert sizes == [8, 8, 5] and np.array_equal(out, data["X"] * 2)
    (whole,) = in_blocks(run, data, 21)
    assert sizes[3:] == [21] and np.array_equal(whole, out)


def test_blocks_are_bounded_by_memory() -> None:
    assert block_of(rows(100_000)) == BLOCK_ROWS
    images = {"X": np.zeros((4, 3, 512, 512), np.float32)}
    assert block_of(images) == 5
    assert block_of({"X": np.zeros((2, 1 << 26), np.uint8)}) == 1
