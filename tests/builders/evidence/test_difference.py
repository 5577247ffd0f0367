"""What differs between two images."""

from __future__ import annotations

from pathlib import Path

from gantline.builders.evidence.difference import Difference, difference
from gantline.builders.image.packed import plain

from gantline.oci.descriptor import LAYER
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store

from .conftest import Build, package, tar


def areas(found: Difference) -> dict[str, str]:
    return {f"{c.area} {c.name}": f"{c.before[:12]}>{c.after[:12]}" for c in found.changes}


def test_an_image_and_itself(image: Image, store: Store) -> None:
    found = difference(store, image, image)
    assert found.same and not found.changes and found.pulled == 0 and found.layers.same == len(image.layers)


def test_an_edit_of_the_code(image: Image, store: Store, build: Build, tmp_path: Path) -> None:
    other = build(package(tmp_path / "t.pkg", "def init(): ...\ndef run(data): return 2\n"), "s:2").images[0].image
    found = difference(store, image, other)
    assert set(areas(found)) == {"package digest", "code code/score.py"}
    # a bill of materials lists the package's files, so the evidence changes with them
    assert [title for title, _ in found.layers.added] == ["code", "package", "evidence"]
    moved = {d.digest: d.size for d in (other.descriptor, other.config_descriptor, *(d for _, d in found.layers.added))}
    assert found.pulled == sum(moved.values()) < 100_000
    inside = ("models/s/code/score.py", "models/s/manifest.json", "evidence/sbom.cdx.json", "evidence/sbom.spdx.json")
    assert set(found.files.changed) == {f"opt/gantline/{path}" for path in inside}
    assert not found.files.added and not found.files.removed and found.files.same > 200
    told = found.to_json()
    assert told["pull_bytes"] == found.pulled and not told["same"] and told["layers"]["same"] == len(other.layers) - 3


def test_another_wheel_and_another_base(image: Image, store: Store, build: Build, tmp_path: Path) -> None:
    libc = Path("/lib/x86_64-linux-gnu/libc.so.6").read_bytes()
    status = b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-10\nArchitecture: amd64\n"
    base = {"usr/bin/python3.11": b"", "usr/lib/x86_64-linux-gnu/libc.so.6": libc, "var/lib/dpkg/status": status}
    second = tar(tmp_path / "second.tar", base, {"lib": "usr/lib"})
    other = build(package(tmp_path / "t.pkg", "x = 1\n", "thing==2.0"), "s:2", second).images[0].image
    found = areas(difference(store, image, other))
    assert found["wheel thing"].startswith("1.0 sha256:") and ">2.0 sha256:" in found["wheel thing"]
    assert found["debian libc6"] == "2.36-9>2.36-10" and "base base" in found


def test_what_engines_write_of_nothing(image: Image, store: Store) -> None:
    """An engine that builds from the same layers says of all that is not set that it is not."""
    check = dict(reversed(image.settings["Healthcheck"].items()))
    nothing = {"Hostname": "2f0e", "Tty": False, "OnBuild": [], "Volumes": {}, "Domainname": "", "Shell": None}
    settings = {**image.settings, "Healthcheck": check, **nothing}
    lines = [{"created_by": "/bin/sh -c #(nop) ADD"} for _ in image.layers]
    config = {**image.config, "config": settings, "history": lines}
    other = write_manifest(store, config, image.layers, {})
    found = difference(store, image, other)
    assert not found.same and not found.changes and not found.files.changed
    ports = {**settings, "ExposedPorts": {"8000/tcp": {}}, "Healthcheck": {**check, "Retries": 5}}
    third = write_manifest(store, {**config, "config": ports}, image.layers, {})
    assert {c.name: c.after for c in difference(store, image, third).changes} == {
        "ExposedPorts": "8000/tcp",
        "Healthcheck.Retries": "5",
    }


def test_a_base_that_is_only_packed_otherwise(image: Image, store: Store) -> None:
    """Its layers have other digests and the same files."""
    assert isinstance(image.config["rootfs"], dict)
    first, *rest = image.layers
    with store.path(first.digest).open("rb") as f, plain(f, "layer") as stream:
        data = stream.read() + bytes(10240)  # a tar may end in more zeros
    again = store.add(data, LAYER)
    rootfs = {"type": "layers", "diff_ids": [again.digest, *image.diff_ids[1:]]}
    other = write_manifest(store, {**image.config, "rootfs": rootfs}, (again, *rest), {})
    found = difference(store, image, other)
    assert len(found.layers.added) == 1 and not found.changes and not found.files.changed
