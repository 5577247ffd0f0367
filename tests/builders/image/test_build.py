"""A build, from package to image, and what the next one reuses."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.image import build as building
from gantline.builders.image.base import Base
from gantline.builders.image.build import Built, Supplies, Wheels, build_image
from gantline.builders.image.shelf import Shelf
from gantline.builders.image.wheel import Wheel

from gantline.errors import UsageError
from gantline.manifest import Manifest, ScriptInfo
from gantline.oci.image import Image
from gantline.packages import Package, seal

from .conftest import MakeWheel

Make = Callable[[str], Package]


@pytest.fixture
def package(tmp_path: Path) -> Make:
    """`package("code")`: one with this text as its script."""

    def make(text: str) -> Package:
        root = tmp_path / "s.pkg"
        (root / "code").mkdir(parents=True, exist_ok=True)
        (root / "model").mkdir(exist_ok=True)
        (root / "code" / "score.py").write_text(text)
        (root / "model" / "weights.bin").write_bytes(b"w" * 1000)
        return seal(root, Manifest("s", "script", script=ScriptInfo("score.py", models="model")), {})

    return make


@pytest.fixture
def wheels(make_wheel: MakeWheel) -> list[Wheel]:
    return [Wheel.open(make_wheel(name, {f"{name}.py": b"A = 1\n"})) for name in ("b", "a")]


def titles(built: Built) -> list[str]:
    return [m.layer.title for m in built.layers]


def test_from_the_bottom_up(package: Make, base: Base, wheels: list[Wheel], shelf: Shelf) -> None:
    built = build_image(package("1"), base, Supplies(Wheels(tuple(wheels))), shelf)
    assert titles(built) == ["wheels a 1.0, b 1.0", "gantline 0.1.0", "weights", "code", "package"]
    image = Image.open(shelf.store, built.image.descriptor)
    assert image.layers[0].digest == base.layers[0].digest
    assert image.diff_ids == (*base.diff_ids, *(m.layer.diff_id for m in built.layers))
    assert [h["created_by"] for h in image.config["history"]] == ["base rootfs.tar", *titles(built)]


def test_again_it_is_the_same_and_nothing_is_written(
    package: Make, base: Base, wheels: list[Wheel], shelf: Shelf
) -> None:
    first = build_image(package("1"), base, Supplies(Wheels(tuple(wheels))), shelf)
    again = build_image(package("1"), base, Supplies(Wheels(tuple(wheels[::-1]))), shelf)
    assert again.image == first.image
    assert not any(m.reused for m in first.layers) and all(m.reused for m in again.layers)


def test_an_edit_of_code_makes_two_small_layers(package: Make, base: Base, wheels: list[Wheel], shelf: Shelf) -> None:
    build_image(package("1"), base, Supplies(Wheels(tuple(wheels))), shelf)
    after = build_image(package("2"), base, Supplies(Wheels(tuple(wheels))), shelf)
    new = [m.layer for m in after.layers if not m.reused]
    assert [layer.title for layer in new] == ["code", "package"]
    assert sum(layer.descriptor.size for layer in new) < 10_000


def test_big_wheels_are_apart(
    package: Make, base: Base, make_wheel: MakeWheel, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "BIG", 2_000)
    big = Wheel.open(make_wheel("big", {"big.bin": bytes(range(256)) * 8 + Path(__file__).read_bytes() * 3}))
    small = Wheel.open(make_wheel("small", {"small.py": b""}))
    built = build_image(package("1"), base, Supplies(Wheels((small, big))), shelf)
    assert titles(built)[:2] == ["wheel big 1.0", "wheel small 1.0"]


def test_two_wheels_that_bring_the_same_file(package: Make, base: Base, make_wheel: MakeWheel, shelf: Shelf) -> None:
    """Many bring a `README.md` or a package `tests`: pip keeps one of them and says nothing."""
    two = [Wheel.open(make_wheel(n, {f"{n}.py": b"", "README.md": n.encode()})) for n in ("b", "a")]
    built = build_image(package("1"), base, Supplies(Wheels(tuple(two))), shelf)
    with tarfile.open(shelf.store.path(built.layers[0].layer.descriptor.digest)) as tar:
        readme = tar.extractfile("opt/gantline/env/lib/python3.11/site-packages/README.md")
        assert readme is not None and readme.read() == b"b"


def test_two_environments_where_one_cannot_be(package: Make, base: Base, make_wheel: MakeWheel, shelf: Shelf) -> None:
    old, new = (Wheel.open(make_wheel("x", {"x.py": v.encode()}, version=v)) for v in ("1.0", "2.0"))
    built = build_image(package("1"), base, Supplies(Wheels((new,), (old,))), shelf)
    assert titles(built)[:2] == ["wheel x 2.0", "wheel x 1.0"]
    assert "GANTLINE_SCRIPT_PYTHON=/opt/gantline/script-env/bin/python" in built.image.settings["Env"]
    paths = {name: files(shelf, built, i) for i, name in enumerate(("new", "old", "runtime"))}
    assert "opt/gantline/env/lib/python3.11/site-packages/x.py" in paths["new"]
    assert "opt/gantline/script-env/lib/python3.11/site-packages/x.py" in paths["old"]
    assert {"opt/gantline/env/bin/python", "opt/gantline/script-env/bin/python"} <= paths["runtime"]
    assert "opt/gantline/script-env/lib/python3.11/site-packages/gantline.pth" not in paths["runtime"]


def files(shelf: Shelf, built: Built, index: int) -> set[str]:
    with tarfile.open(shelf.store.path(built.layers[index].layer.descriptor.digest)) as tar:
        return {m.name for m in tar if not m.isdir()}


def test_too_many_layers(
    package: Make, base: Base, wheels: list[Wheel], shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MOST", 5)
    with pytest.raises(UsageError, match="6 layers; an image has 5 at most"):
        build_image(package("1"), base, Supplies(Wheels(tuple(wheels))), shelf)


def test_its_time_is_what_one_is_told(package: Make, base: Base, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert build_image(package("1"), base, Supplies(Wheels()), shelf).image.config["created"] == "1970-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert build_image(package("1"), base, Supplies(Wheels()), shelf).image.config["created"] == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH='yesterday'"):
        build_image(package("1"), base, Supplies(Wheels()), shelf)
