"""Rows on the command line: which columns of a file `infer` sends and `package` compares on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tensors import Array

FORMATS = ".csv, .tsv, .json, .parquet, .npz or .npy"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that choose columns."""
    add = parser.add_argument
    add("--columns", metavar="A,B,...", help="only these columns of the file, in this order")
    add("--drop", metavar="A,B,...", help="all columns but these: a label, for example")
    add("--no-header", action="store_true", help="the first line of a CSV file is data")


def read(path: Path, args: argparse.Namespace) -> dict[str, Array]:
    """The sample in a file, with the columns that the flags choose."""
    from .. import samples

    sample = samples.read(path, header=False if args.no_header else None)
    return samples.select(sample, _names(args.columns), _names(args.drop))


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []
