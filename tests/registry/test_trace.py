"""Traces: any digest leads to its package, by its beginning if that is enough; what is missing says what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gantline.errors import NotFound, UsageError
from gantline.packages import Package
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]


def test_by_package_by_file_and_by_reference(registry: Registry, make: MakePackage) -> None:
    package = make(run="run-1", source="model.skops", source_digest="sha256:1", git_commit="c0ffee")
    version = registry.register(package, alias="champion")
    model = next(f for f in package.manifest.files if f.path == "model.onnx")
    for said, found_as in (
        (version.digest, "package"), (version.digest[:15], "package"), (version.digest[7:19].upper(), "package"),
        ("iris:1", "package"), ("registry://iris@champion", "package"), (model.digest, "model.onnx"),
    ):  # fmt: skip
        found = registry.trace(said)
        assert (found.package, found.found_as) == (version.digest, found_as), said
    links = {link.what: link for link in found.links}
    assert links["commit"].values == ("c0ffee",) and links["source"].values == ("model.skops sha256:1",)
    assert found.missing == ("parameters", "metrics", "data", "parent", "lock", "image", "deployment", "server")
    assert links["image"].hint == "`gantline build` records it"
    told = found.to_json()
    assert told["missing"] == list(found.missing) and told["links"]["run"] == ["run-1"]
    registry.release("iris", "champion")
    registry.remove("iris:1")
    gone = registry.trace(version.digest)
    assert gone.versions[0].removed is not None and gone.links[0].values == ("iris:1 (removed)",)


def test_what_is_known_of_nothing(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    with pytest.raises(NotFound, match="knows nothing of sha256:00000000"):
        registry.trace("00000000")
    with pytest.raises(UsageError, match="is no digest"):
        registry.trace("sha256:12")


def test_a_beginning_of_two(registry: Registry, make: MakePackage) -> None:
    package = registry.register(make()).digest
    both = [package[:20] + c * 51 for c in "0f"]
    for digest in both:
        registry.record_image(package, digest, id="", name="", platform="")
    with pytest.raises(UsageError, match="digests begin so"):
        registry.trace(package[:20])
    assert registry.trace(both[0]).found_as == "image"
