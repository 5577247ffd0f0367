"""Start to ready, memory and the time of one reload, by how many models and versions a repository holds.

`python benchmarks/repository_size.py`. Every model is an own copy of the iris classifier, so that nothing is shared.
Compared with itself at one model: what a thousand cost must be their own loading, and nothing that grows faster.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from iris_model import make_package
from measuring import free_port, gantline_serve, show, write

from gantline.packages import Package

# models, versions of each
SIZES = ((1, 1), (200, 1), (1000, 1), (1, 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Package.open(make_package(Path(folder))).model_path
        rows = [_row(model, Path(folder) / f"{m}x{v}", m, v, args.rounds) for m, v in SIZES]
    columns = ("models", "versions each", "start to ready s", "RSS MB", "one reload ms")
    show("A repository, from command to ready (medians)", columns, [list(r.values()) for r in rows])
    write("repository_size", f"python benchmarks/repository_size.py --rounds {args.rounds}", "itself", {"rows": rows})


def _row(model: Path, root: Path, models: int, versions: int, rounds: int) -> dict[str, float]:
    for i in range(models):
        for version in range(1, versions + 1):
            place = root / f"m{i:04}" / str(version)
            place.mkdir(parents=True)
            shutil.copy(model, place / "model.onnx")
        (root / f"m{i:04}" / "config.pbtxt").write_text("max_batch_size: 64 version_policy { all {} }")
    starts, memory, reloads = [], [], []
    for _ in range(rounds):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with gantline_serve(root, port=port) as server:
            starts.append(server.answers(f"{url}/v2/health/ready"))
            memory.append(server.rss_mb())
            for _ in range(3):
                started = time.perf_counter()
                urllib.request.urlopen(f"{url}/v2/repository/models/m0000/load", b"{}").close()
                reloads.append(time.perf_counter() - started)
    return {
        "models": models,
        "versions": versions,
        "ready_s": statistics.median(starts),
        "rss_mb": statistics.median(memory),
        "reload_ms": 1000 * statistics.median(reloads),
    }


if __name__ == "__main__":
    main()
