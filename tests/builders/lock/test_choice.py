"""Which of several wheels an image gets."""

from __future__ import annotations

import pytest
from gantline.builders.lock.choice import best
from gantline.builders.lock.solver import Offer
from gantline.builders.lock.target import Target

from gantline.oci.platforms import Platform

AMD = Target(Platform.parse("linux/amd64"), (3, 11))
PURE = "a-1.0-py3-none-any.whl"
OLD = "a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
NEW = "a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
ABI3 = "a-1.0-cp38-abi3-manylinux_2_28_x86_64.whl"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([PURE, OLD], OLD),
        ([OLD, NEW], NEW),
        ([ABI3, OLD], OLD),
        ([PURE, ABI3], ABI3),
        ([PURE, "a-1.0-2-py3-none-any.whl", "a-1.0-10-py3-none-any.whl"], "a-1.0-10-py3-none-any.whl"),
        (["a-1.0-cp311-cp311-linux_x86_64.whl", PURE], "a-1.0-cp311-cp311-linux_x86_64.whl"),
        (["a-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "a-1.0-cp311-cp311-musllinux_1_2_x86_64.whl"], ""),
        (["a-1.0-cp311-cp311-manylinux_2_39_x86_64.whl", "a-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"], ""),
        (["a-1.0-cp311-cp311t-manylinux_2_28_x86_64.whl", "not a wheel.whl"], ""),
    ],
)
def test_the_most_particular_wins(files: list[str], wanted: str) -> None:
    for order in (files, files[::-1]):
        found = best([Offer(file, f"https://x.invalid/{file}") for file in order], AMD)
        assert (found.file if found else "") == wanted


def test_only_those_with_the_hashes_asked_for() -> None:
    offers = [Offer(NEW, "u", "sha256:aa"), Offer(PURE, "u", "sha256:bb")]
    found = best(offers, AMD, ("sha256:bb",))
    assert found is not None and found.file == PURE
    assert best(offers, AMD, ("sha256:cc",)) is None
    assert best([*offers, Offer(OLD, "u")], AMD, ("sha256:cc",)) == Offer(OLD, "u"), "it may be; who has it, knows"
