"""Our images beside those of others: the same models, base, engine and registry, in one run."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_engine import Engine, Site, absent
from image_floor import floors
from image_index import index_settings
from image_makers import BASE, BentoML, ByHand, Gantline, Maker, MLflow, Subject
from images_report import flattened
from measuring import show

ROUNDS = 3
SETTLED_S = 3.0  # after its first answer: what a server does at start is done then
# Debian's Python made to look like python:3.11-slim: pip, and `python` on the path
LIKE_SLIM = """\
FROM localhost/debian
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/lib/python3.11/EXTERNALLY-MANAGED \\
 && ln -s /usr/bin/python3.11 /usr/local/bin/python
"""
NOTES = {
    "base": "Debian 12 with its Python 3.11 and pip, under the name python:3.11-slim: one layer, the same for all",
    "s": "making the image of what is packaged: with what is downloaded (cold), after a changed line, after a retrain",
    "kB": "what the registry holds more after the push, counted there; layers by the compression of whoever pushes",
    "pip": "FROM python:3.11-slim, pip install of the same server, COPY of the same package",
    "mlflow": "generate-dockerfile by its defaults: env-manager local, nginx before uvicorn",
    "bentoml": "the Dockerfile that containerize gives to podman, by its defaults: build-essential and git in it",
}
Subjects = Callable[[str, int], Sequence[Subject]]


@dataclass
class Bench:
    """What all are measured with."""

    engine: Engine
    site: Site
    below: int = 0

    def sizes(self, name: str) -> dict[str, float]:
        layers = self.site.layers(name, "1")
        above = sum(size for _, size in layers[self.below :]) / 1e6
        every = sum(size for _, size in layers) / 1e6
        return {"above base MB": above, "in all MB": every, **self.engine.upon(name + ":1", BASE)}

    def changed(self, maker: Maker, subject: Subject, name: str) -> dict[str, float]:
        """Seconds of making it once more, and bytes that go to the registry then."""
        maker.prepare(subject)
        took = maker.make(subject, f"{name}:2")
        before = self.site.held()
        maker.push(f"{name}:2", f"{self.site.host}/{name}:2")
        return {"s": took, "kB": (self.site.held() - before) / 1e3}

    def starts(self, maker: Maker, subject: Subject, name: str) -> dict[str, float]:
        """From `podman run` to the first right answer, and memory at rest."""
        times, memory = [], []
        for _ in range(ROUNDS):
            served = maker.served(subject)
            asked = (served.url, served.body, subject.right)
            with self.engine.answering(served.words, f"{name}:1", *asked) as (container, took):
                times.append(took)
                time.sleep(SETTLED_S)
                memory.append(self.engine.resident_mb(container))
        return {"start s": statistics.median(times), "at rest MB": statistics.median(memory)}


def compare(work: Path, base: Path, rivals: Sequence[str], subjects: Subjects) -> dict[str, Any]:
    """Figures by model and maker; `skipped` says why one has none."""
    if reason := absent("docker-registry") if rivals else "not asked for":
        return {"skipped": reason}
    with Engine(work / "engine") as engine, Site(work / "site") as site:
        bench = Bench(engine, site)
        try:
            settings = index_settings(work)
            _make_base(bench, work, base, settings)
        except RuntimeError as e:
            return {"skipped": f"no base with pip: {e}"}
        makers: dict[str, Maker] = {
            "gantline": Gantline(work / "compared", engine, site),
            "pip": ByHand(work / "pip", engine, settings),
            "mlflow": MLflow(work / "mlflow", engine, settings),
            "bentoml": BentoML(work / "bentoml", engine, settings),
        }
        if unknown := set(rivals) - set(makers):
            raise SystemExit(f"--rivals {','.join(rivals)}: nobody makes images as {unknown.pop()}")
        wanted = ("gantline", "pip", *rivals)
        found = {name: _tried(bench, name, makers[name], subjects) for name in wanted}
        of = subjects("", 2)
        bare = {}
        if "skipped" not in found["gantline"]:
            bare = {one.name: floors(engine, f"gantline-{one.name}:1", one.package, ROUNDS) for one in of}
    weights = {subject.name: subject.file.stat().st_size / 1e6 for subject in of}
    return {"notes": NOTES, "floors": bare, "model MB": weights, "by": found}


def _make_base(bench: Bench, work: Path, base: Path, settings: Sequence[str]) -> None:
    (work / "Dockerfile").write_text(LIKE_SLIM)
    bench.engine.call("import", "--quiet", base, "localhost/debian")
    bench.engine.call("build", "--squash-all", "--quiet", *settings, "--tag", BASE, "--file", work / "Dockerfile", work)
    bench.engine.call("push", "--quiet", "--tls-verify=false", BASE, f"{bench.site.host}/base:1")
    bench.below = len(bench.site.layers("base", "1"))


def _tried(bench: Bench, name: str, maker: Maker, subjects: Subjects) -> dict[str, Any]:
    """What cannot be had here is said, and the others go on."""
    try:
        return _measure(bench, name, maker, subjects)
    except (RuntimeError, SystemExit) as e:
        sys.stdout.write(f"{name} is skipped: {e}\n")
        return {"skipped": str(e)}


def _measure(bench: Bench, name: str, maker: Maker, subjects: Subjects) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for subject in subjects("", 2):
        image = f"{name}-{subject.name}"
        maker.prepare(subject)
        took = maker.make(subject, f"{image}:1")
        maker.push(f"{image}:1", f"{bench.site.host}/{image}:1")
        out[subject.name] = bench.sizes(image) | bench.starts(maker, subject, image)
        if subject.scripted:
            out[subject.name] |= {
                "cold s": took,
                "edit": bench.changed(maker, subjects("# edited\n", 2)[0], image),
                "retrain": bench.changed(maker, subjects("# edited\n", 3)[0], image),
            }
        sys.stdout.write(f"{image}: {out[subject.name]}\n")
    return out


def tell(figures: dict[str, Any]) -> None:
    """Tables for a terminal: each figure, and how many times ours it is."""
    if "skipped" in figures:
        sys.stdout.write(f"beside others: {figures['skipped']}\n")
        return
    by = figures["by"]
    ours = by["gantline"]
    for model in ours if "skipped" not in ours else ():
        rows = []
        for name, found in by.items():
            if model in found:
                flat, own = flattened(found[model]), flattened(ours[model])
                rows.append([name, *(f"{v:,.2f} ({v / own[k]:.1f}x)" for k, v in flat.items())])
        show(f"{model}, beside others", ("by", *flattened(ours[model])), rows)
