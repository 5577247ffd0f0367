"""The page of images beside those of others, made of what was measured; `benchmarks/images.py` writes it."""

from __future__ import annotations

from typing import Any

NAMES = {
    "gantline": "gantline",
    "pip": "by hand: pip in a Dockerfile, the same server",
    "mlflow": "MLflow",
    "bentoml": "BentoML",
}
MODELS = {
    "tree": ("A scikit-learn pickle behind a script", "the model has {:.4f} MB"),
    "resnet50": ("ResNet-50", "the model has {:.0f} MB"),
}

FLOORS = {
    "python alone s": "a container that only starts Python",
    "model alone s": "one that only imports what the model needs and loads it",
}


def flattened(figures: dict[str, Any]) -> dict[str, float]:
    """One figure a name: `edit kB` of `edit: {kB: ...}`."""
    out: dict[str, float] = {}
    for name, value in figures.items():
        out |= {f"{name} {k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return out


def page(beside: dict[str, Any]) -> str:
    """A table a model: our figures, and how many times ours the others' are."""
    lines = ["# Images beside those of others", ""]
    if "skipped" in beside:
        return "\n".join([*lines, f"Not compared: {beside['skipped']}.", ""])
    lines += [
        "One run on one machine; only ratios mean something. The same models, base, engine and registry for all.",
        "",
    ]
    for model, (title, weighs) in MODELS.items():
        rows = {name: flattened(found[model]) for name, found in beside["by"].items() if model in found}
        ours = rows.get("gantline")
        if ours is None:
            continue
        lines += [f"## {title}", ""]
        lines += ["| | " + " | ".join(ours) + " |", "|---|" + "---|" * len(ours)]
        lines += [f"| {NAMES[name]} | {' | '.join(_cells(row, ours, name))} |" for name, row in rows.items()]
        floor, start = beside["floors"][model], ours["start s"]
        times = [
            f"{what} takes {floor[name]:.2f} s, ours {start / floor[name]:.1f}x that" for name, what in FLOORS.items()
        ]
        limit = "; ".join([weighs.format(beside["model MB"][model]), *times])
        lines += ["", f"What cannot be less: {limit}.", ""]
    for name, found in beside["by"].items():
        if "skipped" in found:
            lines += [f"{NAMES[name]} is missing: {found['skipped']}.", ""]
    return "\n".join([*lines, "## How", "", *(f"- {what}: {how}" for what, how in beside["notes"].items()), ""])


def _cells(row: dict[str, float], ours: dict[str, float], name: str) -> list[str]:
    if name == "gantline":
        return [_figure(value) for value in ours.values()]
    return [f"{row[k] / ours[k]:.1f}x" if k in row and ours[k] else "" for k in ours]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
