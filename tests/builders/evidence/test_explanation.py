"""What put a file into an image."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.evidence.explanation import explain

from gantline.errors import NotFound
from gantline.oci.image import Image
from gantline.oci.store import Store

SITE = "/opt/gantline/env/lib/python3.11/site-packages"
MODEL = "/opt/gantline/models/s"


def test_each_kind_of_file(image: Image, store: Store) -> None:
    expected = {
        f"{SITE}/thing/__init__.py": ("wheel", "wheel thing 1.0"),
        f"{SITE}/thing": ("wheel", "wheel thing 1.0"),
        "/opt/gantline/env/share": ("wheel", "wheel thing 1.0"),
        f"{SITE}/thing/__pycache__/__init__.cpython-311.pyc": ("wheel", "wheel thing 1.0"),
        f"{SITE}/thing-1.0.dist-info/METADATA": ("wheel", "wheel thing 1.0"),
        f"{SITE}/thing/a.h": ("left out", "the rule 'headers'"),
        "/opt/gantline/env/share/thing.txt": ("wheel", "wheel thing 1.0"),
        "/opt/gantline/env/include/a.h": ("left out", "the rule 'headers'"),
        f"{SITE}/thing/tests/test_a.py": ("left out", "the rule 'tests'"),
        "/opt/gantline/lib/gantline/serve/core.py": ("gantline", "module gantline.serve.core"),
        "/opt/gantline/lib/gantline/__pycache__/errors.cpython-311.pyc": ("gantline", "module gantline.errors"),
        "/opt/gantline/env/pyvenv.cfg": ("gantline", "for the environment"),
        f"{MODEL}/code/score.py": ("code", "code of package s: code/score.py"),
        f"{MODEL}/models/weights.bin": ("model", "model of package s"),
        f"{MODEL}/manifest.json": ("package", "the manifest"),
        "/opt/gantline/evidence/pylock.toml": ("evidence", "gantline build"),
        "/lib/x86_64-linux-gnu/libc.so.6": ("debian", "Debian package libc6 2.36-9 of base rootfs.tar"),
        "/etc/os-release": ("base", "of no package"),
        "/lib/python3.11/asyncio/__init__.py": ("base", "of no package"),
        "/lib/python3.11/asyncio/__pycache__/__init__.cpython-311.pyc": (
            "bytecode", "the base has only /usr/lib/python3.11/asyncio/__init__.py",
        ),
    }  # fmt: skip
    for path, (kind, source) in expected.items():
        found = explain(store, image, path, "s:1")
        assert found.kind == kind and source in found.source, found
        assert bool(found.layer) == (kind != "left out")


def test_a_file_of_the_package(image: Image, store: Store, place: Path) -> None:
    found = explain(store, image, f"{MODEL}/code/score.py", "s:1")
    data = (place / "s.pkg/code/score.py").read_bytes()
    assert found.about["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    assert found.about["package file"] == "code/score.py"
    assert image.labels["dev.gantline.package.digest"] in found.about["package"]
    assert found.title == "code" and found.digest == image.layers[found.layer - 1].digest


def test_a_wheel_is_told_with_its_file_and_who_asked(image: Image, store: Store) -> None:
    about = explain(store, image, f"{SITE}/thing/__init__.py", "s:1").about
    assert about["file"] == "thing-1.0-py3-none-any.whl" and about["wheel"].startswith("sha256:")
    assert about["asked for by"] == "thing==1.0 (the package)"


def test_what_is_nowhere(image: Image, store: Store) -> None:
    with pytest.raises(NotFound, match=rf"did you mean {MODEL}/code/score.py"):
        explain(store, image, f"{MODEL}/score.py", "s:1")
    with pytest.raises(NotFound, match="neither a rule nor a layer"):
        explain(store, image, f"{SITE}/thing/never.py", "s:1")


def test_an_engine_that_wrote_its_own_history(image: Image, store: Store) -> None:
    """As of a context: which layers are the base's is seen from what is in them."""
    lines = [{"created_by": "/bin/sh -c #(nop) ADD"} for _ in image.layers]
    other = replace(image, config={**image.config, "history": lines})
    assert explain(store, other, "/etc/os-release", "x").kind == "base"
    assert explain(store, other, "/lib/x86_64-linux-gnu/libc.so.6", "x").kind == "debian"
    assert explain(store, other, f"{MODEL}/code/score.py", "x").kind == "code"
    compiled = "/usr/lib/python3.11/asyncio/__pycache__/__init__.cpython-311.pyc"
    assert explain(store, other, compiled, "x").kind == "bytecode"


def test_a_layer_that_another_image_gives_out_for_its_own(image: Image, store: Store) -> None:
    """What is remembered of layers is of their bytes, not of what a config says they are."""
    other = replace(image, layers=tuple(reversed(image.layers)))
    assert explain(store, image, "/etc/os-release", "s:1").layer == 1
    assert explain(store, other, "/etc/os-release", "x:1").layer == len(image.layers)
