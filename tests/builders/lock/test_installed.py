"""What is installed here, as `importlib.metadata` has it, in less time."""

from __future__ import annotations

from importlib import metadata

from gantline.builders.lock.installed import installed


def test_as_importlib_has_it() -> None:
    theirs: dict[str, str] = {}
    for one in metadata.distributions():
        theirs.setdefault(one.metadata["Name"], one.version)
    assert {one.name: one.version for one in installed()} == theirs


def test_modules() -> None:
    found = {one.name: one for one in installed()}
    assert "numpy" in found["numpy"].tops and "sklearn" in found["scikit-learn"].tops and "yaml" in found["PyYAML"].tops
    assert "typing_extensions" in found["typing_extensions"].tops, "a module that is one file"
    assert "google" in found["protobuf"].tops and "numpy" not in found["scikit-learn"].tops
    assert found["protobuf"].has("google.protobuf") and not found["protobuf"].has("google.cloud")
    assert "gantline" in found["gantline"].tops, "an editable one has no files, and says what it is"
