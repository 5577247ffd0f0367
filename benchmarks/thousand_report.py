"""The picture of the thousand-model run: memory over time, and what first and warm answers took."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, PLOT_W, PLOT_H, ROW = 860, 70, 740, 220, 22
COLOURS = ("#1f6fb2", "#c0562b", "#7a7a7a")


def picture(tree: dict[str, Any]) -> str:
    """`tree`: what benchmarks/thousand.py writes."""
    rows = tree["rows"]
    body = [*_memory(rows, 60), *_bars(rows, 60 + PLOT_H + 70)]
    height = 60 + PLOT_H + 70 + 2 * (len(rows) * ROW + 40)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="12">',
            f"<title>{tree['models']} models asked by a Zipf law: memory over time and latency</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="20" y="28" font-size="17" font-weight="bold">{tree["models"]} models, Zipf 1.1: '
            "resident memory in MB over seconds</text>",
            *body,
            "</svg>\n",
        ]
    )


def _memory(rows: list[dict[str, Any]], top: int) -> list[str]:
    end = max(r["memory"][-1][0] for r in rows)
    most = 1.1 * max(m for r in rows for _, m in r["memory"])
    out = [f'<path d="M{LEFT},{top} v{PLOT_H} h{PLOT_W}" fill="none" stroke="#333333"/>']
    for i in range(5):
        y = top + PLOT_H * (1 - i / 4)
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{most * i / 4:.0f}</text>')
        x = LEFT + PLOT_W * i / 4
        out.append(f'<text x="{x:.0f}" y="{top + PLOT_H + 18}" text-anchor="middle">{end * i / 4:.0f} s</text>')
    for row, colour in zip(rows, COLOURS, strict=False):
        points = " ".join(
            f"{LEFT + PLOT_W * t / end:.1f},{top + PLOT_H * (1 - mb / most):.1f}" for t, mb in row["memory"]
        )
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        last = row["memory"][-1][1]
        y = top + PLOT_H * (1 - last / most) - 6
        out.append(
            f'<text x="{LEFT + PLOT_W}" y="{y:.1f}" text-anchor="end" fill="{colour}">{escape(row["server"])}</text>'
        )
    return out


def _bars(rows: list[dict[str, Any]], top: int) -> list[str]:
    out = []
    for key, title in (("first_answer", "A model's first answer"), ("warm", "The twenty most popular models")):
        out.append(f'<text x="20" y="{top}" font-size="13" font-weight="bold">{title}: p50 and p99 in ms</text>')
        most = max(r[key]["p99_ms"] for r in rows)
        for i, (row, colour) in enumerate(zip(rows, COLOURS, strict=False)):
            y = top + 10 + i * ROW
            p50, p99 = row[key]["p50_ms"], row[key]["p99_ms"]
            bar = f'height="14" fill="{colour}"'
            out += [
                f'<text x="200" y="{y + 14}" text-anchor="end">{escape(row["server"])}</text>',
                f'<rect x="208" y="{y + 3}" width="{480 * p99 / most:.1f}" {bar} opacity="0.35"/>',
                f'<rect x="208" y="{y + 3}" width="{480 * p50 / most:.1f}" {bar}/>',
                f'<text x="{216 + 480 * p99 / most:.1f}" y="{y + 14}">{p50:.2f} / {p99:.2f}</text>',
            ]
        top += len(rows) * ROW + 40
    return out
