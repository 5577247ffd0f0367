"""What memory a process may use."""

from __future__ import annotations

from pathlib import Path

from gantline.serve.process.memory import usable_memory


def test_a_container_is_held_to_its_limit(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = usable_memory(limit)  # there is no such file
    assert 64 << 20 < whole < 1 << 50
    for text, found in (("max\n", whole), ("67108864\n", 64 << 20), (str(1 << 60), whole)):
        limit.write_text(text)
        assert usable_memory(limit) == found
