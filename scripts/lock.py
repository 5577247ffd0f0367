"""Write requirements.lock: one exact version of everything that `.[dev,torch]` needs, as pip resolves it today.

The lock is used as constraints, so a line that another platform has no use for does no harm there, and one that only
another platform needs is resolved when it is installed. torch's CUDA libraries are left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
TORCH = "torch==2.13.0"
GPU_ONLY = re.compile(r"(nvidia|cuda)-|triton$")
HEAD = """\
# Exact versions of everything that Gantline's development, tests and demo install: constraints for pip.
# Made by `make lock`; do not edit.
"""


def main() -> None:
    """Resolve without installing anything, and write the lock."""
    report = resolve(["--editable", f"{ROOT}[dev,torch]", TORCH])
    pins = sorted(pin for item in report["install"] if (pin := _pin(item["metadata"])))
    LOCK.write_text(HEAD + "".join(f"{pin}\n" for pin in pins))
    sys.stdout.write(f"{LOCK.name}: {len(pins)} versions\n")


def resolve(requirements: list[str]) -> dict[str, list[dict[str, dict[str, str]]]]:
    """pip's installation report, as if nothing were installed."""
    words = ["install", "--dry-run", "--ignore-installed", "--no-build-isolation", "--quiet", "--report", "-"]
    command = [sys.executable, "-m", "pip", *words, *requirements]
    report: dict[str, list[dict[str, dict[str, str]]]] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    return report


def _pin(metadata: dict[str, str]) -> str | None:
    name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
    if name == "gantline" or GPU_ONLY.match(name):
        return None
    # 2.13.0+cpu is one build of 2.13.0
    return f"{name}=={metadata['version'].split('+')[0]}"


if __name__ == "__main__":
    main()
