"""The list of extensions follows the settings; that each works is shown where it is tested."""

from __future__ import annotations

from gantline.serve.extensions import extensions

from gantline.settings import ServeSettings


def test_only_what_is_on_is_named() -> None:
    plain, sharing = extensions(ServeSettings()), extensions(ServeSettings(allow_shared_memory=True))
    assert "statistics" in plain and "system_shared_memory" not in plain
    assert set(sharing) - set(plain) == {"system_shared_memory"} and len(set(sharing)) == len(sharing)
