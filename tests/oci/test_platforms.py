"""Platforms by their names."""

from __future__ import annotations

import pytest

from gantline.errors import UsageError
from gantline.oci.platforms import Platform


@pytest.mark.parametrize(
    ("text", "platform", "shown"),
    [
        ("linux/amd64", Platform("linux", "amd64"), "linux/amd64"),
        ("linux/x86_64", Platform("linux", "amd64"), "linux/amd64"),
        ("linux/aarch64", Platform("linux", "arm64"), "linux/arm64"),
        ("linux/arm/v6", Platform("linux", "arm", "v6"), "linux/arm/v6"),
        ("linux/armv7l", Platform("linux", "arm", "v7"), "linux/arm/v7"),
    ],
)
def test_names(text: str, platform: Platform, shown: str) -> None:
    assert Platform.parse(text) == platform
    assert str(platform) == shown
    assert Platform.from_json(platform.to_json(), "here") == platform


@pytest.mark.parametrize("text", ["", "linux", "linux/", "Linux/amd64", "linux/amd64/8", "linux/amd64/v8/x", "a b/c"])
def test_no_names(text: str) -> None:
    with pytest.raises(UsageError, match="linux/amd64 or linux/arm64"):
        Platform.parse(text)


def test_the_variant_that_is_meant_where_none_is_said() -> None:
    arm64, arm64_v8 = Platform("linux", "arm64"), Platform("linux", "arm64", "v8")
    assert arm64.serves(arm64_v8) and arm64_v8.serves(arm64)
    assert Platform("linux", "arm").serves(Platform("linux", "arm", "v7"))
    assert not Platform("linux", "arm", "v6").serves(Platform("linux", "arm"))
    assert not arm64.serves(Platform("linux", "amd64"))
    assert not Platform("windows", "amd64").serves(Platform("linux", "amd64"))


def test_this_machine_is_one_that_containers_have() -> None:
    assert Platform.of_this_machine().os == "linux"
    assert Platform.parse(str(Platform.of_this_machine())) == Platform.of_this_machine()
