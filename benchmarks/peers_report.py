"""The comparison with other servers as a Markdown page and as a picture. Pure: a results tree in, text out."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

TITLES = {
    "a": "(a) iris logistic regression, 1 row",
    "b": "(b) MLP 784-512-512-10, 1 row",
    "c": "(c) memory-bound MLP 1024-2048-2048-1024-10, 1 row",
    "d": "(d) ResNet-50, 1 image",
}
DISTURBED = (
    "No server with one worker can outrun onnxruntime alone: where one does here, the loop met more of what else ran "
    "on the machine than the server did, and the figure decides nothing."
)
TRITON = (
    "Triton has two groups of rows, and none is NVIDIA's build with its own onnxruntime backend: no package on PyPI "
    "carries that one. The only Triton that PyPI carries comes with a Python backend; what is wanted over Triton is "
    "wanted over that. The other rows are the same server with an onnxruntime backend in C++ that we wrote for this "
    "comparison (`benchmarks/peers/triton_onnx_backend.cc`), so that nobody takes the cost of Python for Triton's own: "
    "a batch's rows are gathered, run once with one thread, and scattered. It is the harder rival and the fairer "
    "measure of Triton itself; nothing is wanted over it, and the ratios to it are told as they are."
)
COLOURS = {
    "gantline": "#0b6e4f",
    "h2": "#0b6e4f",
    "unbatched": "#8fbcaa",
    "triton": "#3d5a80",
    "triton-cpp": "#7d9bc1",
    "python": "#c9772b",
}
NOTHING = {"per_second": None, "p50_ms": None, "p99_ms": None}  # of a server that ended before
WIDTH, LABEL, BAR, ROW = 1000, 420, 480, 18


def table(tree: dict[str, Any]) -> str:
    """The whole page."""
    machine = tree["machine_before"]
    out = [
        "# Gantline beside other servers",
        "",
        f"One run on one machine: {machine['cpu']}, {machine['cores']} cores, which the load shares. "
        f"Load average before: {machine['load_before']}. Rows took turns by rounds; medians. "
        "Only ratios within the run mean something.",
        "",
        "## Wanted and got",
        "",
        "| what | ours | theirs | wanted | got | met |",
        "|---|---|---|---|---|---|",
    ]
    for v in tree["verdicts"]:
        wanted, met = "", ""
        if v["wanted"] is not None:
            wanted = f"{'<=' if v['at_most'] else '>='} {v['wanted']:g}"
            met = "yes" if v["met"] else "**no**"
        out.append(f"| {v['about']} | {v['ours']} | {v['theirs']} | {wanted} | {v['got']:.2f} | {met} |")
    loops = [v for v in tree["verdicts"] if v["theirs"].startswith("onnxruntime") and "2 workers" not in v["ours"]]
    if any(v["got"] > 1.02 for v in loops):
        out += ["", DISTURBED]
    if any(r["kind"] == "triton-cpp" for r in tree["rows"]):
        out += ["", TRITON]
    for key, title in TITLES.items():
        rows = [r for r in tree["rows"] if r["workload"] == key]
        if rows:
            out += ["", f"## {title}", "", *_workload(key, rows, tree)]
    if tree["average_batch"]:
        out += ["", "## Rows in a batch, on average", "", "| load | rows |", "|---|---|"]
        out += [f"| {name} | {n:.1f} |" for name, n in tree["average_batch"].items() if n > 1.05]
    if tree["missing"]:
        out += ["", "## Not measured", "", "| workload | server | why |", "|---|---|---|"]
        out += [f"| {m['workload']} | {m['server']} | {m['reason'].replace('|', '/')} |" for m in tree["missing"]]
    return "\n".join(out)


def _workload(key: str, rows: list[dict[str, Any]], tree: dict[str, Any]) -> list[str]:
    starts = {s["server"]: s for s in tree["starts"] if s["workload"] == key}
    out = [
        "| server | settings | wire | req/s, 1 conn. | p50 ms | 32 conn. | p50 ms | p99 ms | 64 conn. | p99 ms "
        "| failed | start s | RSS MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for server in dict.fromkeys(r["server"] for r in rows if r["connections"] and r["wire"] != "gRPC"):
        mine = {r["connections"]: r for r in rows if r["server"] == server and r["wire"] != "gRPC"}
        one, some, many = (mine.get(c, NOTHING) for c in (1, 32, 64))
        start = starts[server]
        cells = [server, start["settings"], start["wire"], _n(one["per_second"]), _n(one["p50_ms"], 3)]
        cells += [_n(some["per_second"]), _n(some["p50_ms"], 2), _n(some["p99_ms"], 2)]
        cells += [_n(many["per_second"]), _n(many["p99_ms"], 2), str(sum(r["failed"] for r in mine.values()))]
        cells += [_n(start["start_s"], 2), _n(start["rss_mb"])]
        out.append(f"| {' | '.join(cells)} |")
    for row in (r for r in rows if not r["connections"]):
        cells = [row["server"], "one thread", "none", _n(row["per_second"]), *[""] * 9]
        out.append(f"| {' | '.join(cells)} |")
    calls = [r for r in rows if r["wire"] == "gRPC"]
    if calls:
        out += [
            "",
            "gRPC, h2load with 4 connections of 16 streams:",
            "",
            "| server | calls/s | failed |",
            "|---|---|---|",
        ]
        out += [f"| {r['server']} | {_n(r['per_second'])} | {r['failed']} |" for r in calls]
    return out


def _n(value: float | None, digits: int = 0) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def picture(tree: dict[str, Any]) -> str:
    """Requests a second at 64 connections, one panel a workload and one for gRPC, on one logarithmic scale each."""
    panels: list[tuple[str, list[dict[str, Any]]]] = []
    for key, title in TITLES.items():
        mine = [r for r in tree["rows"] if r["workload"] == key and r["per_second"]]
        panels.append((f"{title}, HTTP, 64 connections", [r for r in mine if _shown(r)]))
        panels.append((f"{title}, gRPC, 4 connections of 16 streams", [r for r in mine if r["wire"] == "gRPC"]))
    parts, y = [], 56
    for title, rows in panels:
        if rows:
            panel, height = _panel(title, sorted(rows, key=lambda r: -r["per_second"]), y)
            parts.append(panel)
            y += height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="12">',
            "<title>Requests a second: Gantline and other servers, on four workloads</title>",
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
            '<text x="20" y="28" font-size="17" font-weight="bold">Requests a second, more is better '
            "(logarithmic)</text>",
            *parts,
            "</svg>\n",
        ]
    )


def _shown(row: dict[str, Any]) -> bool:
    # where the model is next to nothing, so is a bar of the model alone
    loop = row["connections"] == 0 and row["workload"] in "cd"
    return row["wire"] != "gRPC" and (row["connections"] == 64 or loop)


def _panel(title: str, rows: list[dict[str, Any]], y: int) -> tuple[str, int]:
    values = [r["per_second"] for r in rows]
    low = math.floor(math.log10(min(values)) - 0.3)
    high = math.log10(max(values))
    lines = [f'<text x="20" y="{y + 14}" font-size="13" font-weight="bold">{escape(title)}</text>']
    for i, row in enumerate(rows):
        top = y + 24 + i * ROW
        width = BAR * (math.log10(row["per_second"]) - low) / max(high - low, 0.1)
        colour = COLOURS.get(row["kind"], "#9a9a9a")
        weight = ' font-weight="bold"' if row["kind"] in ("gantline", "h2") else ""
        lines += [
            f'<text x="{LABEL - 8}" y="{top + 12}" text-anchor="end"{weight}>{escape(row["server"])}</text>',
            f'<rect x="{LABEL}" y="{top + 2}" width="{width:.1f}" height="{ROW - 5}" fill="{colour}"/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{top + 12}" fill="#333333">{row["per_second"]:,.0f}</text>',
        ]
    return "\n".join(lines), 24 + len(rows) * ROW + 22
