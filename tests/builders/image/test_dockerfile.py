"""Dockerfiles: their words for an image's settings, read by a shell, whose quoting within "" is Docker's."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from typing import Any

import pytest
from gantline.builders.image.base import Base
from gantline.builders.image.dockerfile import dockerfile
from gantline.builders.image.settings import image_config

from gantline.errors import Unsupported
from gantline.manifest import Manifest
from gantline.oci.image import write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

AMD64 = Platform("linux", "amd64")


def text(store: Store, base: Base) -> str:
    config = image_config(base, Manifest("m", "onnx", "model.onnx"), "m", (), (), "1970-01-01T00:00:00Z", "env")
    return dockerfile("m:1", write_manifest(store, config, (), {}), base, [("layers/a.tar", "a\nb")])


def base_with(settings: dict[str, Any], pulled: str = "") -> Base:
    return Base("b", AMD64, (), (), "/usr/bin/python3.11", (3, 11), settings, pulled=pulled)


def said(text: str, word: str) -> dict[str, str]:
    lines = text.replace("\\\n    ", "").splitlines()
    words = next(line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} "))
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
    return {name: value for name, _, value in (line.partition("=") for line in done.stdout.splitlines())}


def test_settings_are_said_as_they_are(store: Store) -> None:
    awkward = "a \"b\" $HOME ${X} \\n 'c' ünï"
    found = text(store, base_with({"Env": [f"ODD={awkward}", "PATH=/usr/bin"], "Labels": {"a.b": awkward}}))
    assert said(found, "ENV")["ODD"] == awkward and said(found, "ENV")["GANTLINE_HOST"] == "0.0.0.0"
    assert said(found, "LABEL")["a.b"] == awkward and said(found, "LABEL")["dev.gantline.package.name"] == "m"
    assert "\nUSER 65532:65532\n" in found and "\nSTOPSIGNAL SIGTERM\n" in found and "\nWORKDIR /\n" in found
    assert '\nFROM scratch\n# a b\nADD ["layers/a.tar", "/"]\n' in found
    check = next(line for line in found.splitlines() if line.startswith("HEALTHCHECK"))
    assert check.startswith("HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD [")
    entry = next(line for line in found.splitlines() if line.startswith("ENTRYPOINT "))
    assert json.loads(entry.removeprefix("ENTRYPOINT "))[1:] == ["-m", "gantline.cli.contained"]


def test_what_a_base_of_a_registry_brings_is_not_said_again(store: Store) -> None:
    settings = {"Env": ["PATH=/usr/bin", "HOME=/root"], "Labels": {"a": "b"}, "Volumes": {"/data": {}}}
    found = text(store, base_with(settings, f"host/b@sha256:{'0' * 64}"))
    assert f"\nFROM host/b@sha256:{'0' * 64}\n" in found and "from its registry, by digest" in found
    assert "PATH" not in said(found, "ENV") and said(found, "ENV")["HOME"] == "/tmp" and "a" not in said(found, "LABEL")
    settings["Env"] = ["PYTHONPATH=/app"]
    assert said(text(store, base_with(settings, "host/b")), "ENV")["PYTHONPATH"] == "", "which Python takes for unset"
    assert "PYTHONPATH" not in text(store, base_with(settings))
    assert "The base's Volumes cannot be taken away" in found


@pytest.mark.parametrize("settings", [{"Env": ["A=b\nRUN evil"]}, {"Labels": {"a b": "c"}}])
def test_what_cannot_be_said_is_refused(store: Store, settings: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="cannot be said in a Dockerfile"):
        text(store, dataclasses.replace(base_with(settings)))
