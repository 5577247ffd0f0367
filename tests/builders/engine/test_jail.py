"""What a jail says where it cannot be; what it keeps in, with an image: `test_alone`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_root_without_the_places_to_mount_on_is_refused(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "gantline.builders.engine.jail", str(tmp_path), "65532", "", "/bin/true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 125
    assert done.stderr.startswith("jail: ") and done.stderr.count("\n") == 1
