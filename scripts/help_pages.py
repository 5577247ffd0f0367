"""Write docs/cli/: one page for each verb, from its --help. A test compares them with what the commands say today."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "cli"
WIDTH = "100"


def pages() -> dict[str, str]:
    """File name -> text. The pages are those of Python 3.11: later versions lay --help out differently."""
    os.environ["COLUMNS"] = WIDTH
    os.environ["NO_COLOR"] = "1"
    from gantline.cli import VERBS, parser

    rows = "".join(f"| [`gantline {verb}`]({verb}.md) | {line} |\n" for verb, (_, line) in VERBS.items())
    made = {"README.md": f"# The command line\n\n| command | what it does |\n|---|---|\n{rows}\n{EXIT_CODES}"}
    for verb in VERBS:
        made[f"{verb}.md"] = f"# gantline {verb}\n\n```\n{help_of(parser(verb), verb)}```\n"
    return made


EXIT_CODES = """\
Exit codes: 0 ok, 1 failed, 2 usage, 3 bad input or artefact, 4 verification failed, 5 completed with errors,
6 unreachable. With `--json` a command prints one JSON object, also for an error.

These pages are written by `make docs`.
"""


def help_of(top: object, verb: str) -> str:
    """What `gantline VERB --help` prints."""
    import argparse

    assert isinstance(top, argparse.ArgumentParser)
    (verbs,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    parser: argparse.ArgumentParser = verbs.choices[verb]
    return parser.format_help()


def main() -> None:
    """Write the pages, and take away those of verbs that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    sys.stdout.write(f"docs/cli: {len(made)} pages\n")


if __name__ == "__main__":
    main()
