# pyright: strict
"""A user's program, held to the strictest types: whatever the client gives has a type that a checker knows."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

import gantline


def table(client: gantline.Client, rows: pd.DataFrame) -> pd.DataFrame:
    answered = client.predict("columns", rows)
    return answered[answered["age_out"] > 30]


def arrays(client: gantline.Client) -> float:
    result = client.predict("double", np.ones((2, 3), np.float32))
    shown: list[str] = []
    for name, array in result.items():
        shown.append(f"{name.upper()} {array.shape[0]}")
    again = client.infer("double", {"x": np.ones((1, 3), np.float32)}, outputs=["y"], id="7")
    frame = again.frame()
    return float(result["y"].sum()) + len(frame) + len(again.text("y")) + len(shown)


def about(client: gantline.Client) -> list[str]:
    signature = client.signature("double")
    spec = signature.output("y")
    lines = [f"{t.name} {t.datatype} {list(t.shape)}" for t in signature.inputs]
    return lines + (list(spec.labels) if spec is not None else [])


async def later(url: str) -> int:
    async with gantline.AsyncClient(url, timeout_s=10.0) as client:
        result = await client.predict("double", [[1.0, 2.0, 3.0]])
        frame = await client.predict("columns", pd.DataFrame({"age": [41.0], "city": ["Bern"]}))
        return len(result) + len(frame)


def kept(path: str) -> str:
    package = gantline.Package.open(path)
    digest = package.digest
    return f"{package.name} {digest if digest is not None else 'bare'} {package.manifest.engine}"


def main(url: str) -> None:
    with gantline.Client(url) as client:
        try:
            rows = pd.DataFrame({"age": [25.0, 41.0], "city": ["Basel", "Bern"]}, index=[7, 8])
            sys.stdout.write(f"{table(client, rows)}\n")
            sys.stdout.write(f"{arrays(client)} {about(client)} {client.ready('double')}\n")
        except gantline.GantlineError as e:
            sys.exit(e.message)


if __name__ == "__main__":
    main(sys.argv[1])
