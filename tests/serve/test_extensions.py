"""The list of extensions follows the settings; that each works is shown where it is tested."""

from __future__ import annotations

from gantline.serve.extensions import extensions

from gantline.settings import ServeSettings


def test_only_what_is_on_is_named() -> None:
    plain, most = extensions(ServeSettings()), extensions(ServeSettings(allow_shared_memory=True, trace_dir="."))
    assert {"statistics", "sequence", "schedule_policy"} <= set(plain) and "system_shared_memory" not in plain
    assert set(most) - set(plain) == {"system_shared_memory", "trace"} and len(set(most)) == len(most)
