"""`gantline deploy --to docker|process`: what is described is made to run on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .show import print_json, table, write

if TYPE_CHECKING:
    from gantline.builders.deploy.description import Endpoint
    from gantline.builders.deploy.here import Plan
    from gantline.builders.engine.record import Record

TARGETS = ("process", "docker")
_SECRETS, _WAIT_S = Path("secrets"), 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only these targets heed."""
    from .run import URL_HELP

    add = parser.add_argument
    add("--dry-run", action="store_true", help="process, docker: say what would be done, and do nothing")
    add(
        "--secrets", type=Path, metavar="DIR",
        help="process, docker: where SECRET:KEY is the file SECRET/KEY (default: secrets)",
    )  # fmt: skip
    add("--wait-s", type=float, metavar="S", help="process, docker: seconds to be ready (default 60)")
    add("--engine-url", default="", metavar="URL", help=f"docker: {URL_HELP}")


def refuse(args: argparse.Namespace) -> None:
    """UsageError for what only these targets heed, where another is meant."""
    if args.dry_run:
        raise UsageError(f"--dry-run: --to {args.to} applies nothing; without -o it prints what it would write")
    why = {
        "secrets": "it writes no secrets, only references to those that the platform keeps",
        "wait_s": "it starts nothing that could be waited for",
        "engine_url": "it asks no engine",
    }
    for flag, reason in why.items():
        if getattr(args, flag) not in (None, ""):
            raise UsageError(f"--{flag.replace('_', '-')}: with --to {args.to} {reason}; leave it out")


def run(args: argparse.Namespace, endpoint: Endpoint, notes: tuple[str, ...]) -> None:
    """Make it so, and say what was done."""
    from gantline.builders.deploy.apply import Order, apply

    from ..api import bringing, noting
    from ..endpoint_keys import maker
    from .run import told
    from .stopping import asked_to_stop
    from .transfer import wiring

    say = (lambda line: None) if args.json else told
    bring = bringing("", (), None, wiring(args), args.registry, say)
    wait_s = _WAIT_S if args.wait_s is None else args.wait_s
    order = Order(args.to, bring, maker, args.secrets or _SECRETS, args.engine_url, wait_s, say)
    with asked_to_stop():
        plan, record = apply(endpoint, order, args.dry_run)
        if record is not None and not (args.no_record or args.dry_run):
            noting(args.registry, say)(record, True)
    _tell(args, endpoint, plan, record, notes)


def _tell(
    args: argparse.Namespace, endpoint: Endpoint, plan: Plan, record: Record | None, notes: tuple[str, ...]
) -> None:
    if args.json:
        tree = record.to_json() if record is not None else None
        print_json({"act": plan.act, "changes": plan.changes, "endpoint": tree, "not_applied": list(notes)})
        return
    rows = [(plan.act, endpoint.name), *(("change", line) for line in plan.changes)]
    if args.dry_run or record is None:
        table(rows)
        return
    table([*rows, ("url", record.url), ("grpc", record.grpc), ("image", record.deployments[0].image)])
    write(f"\nnext:  gantline endpoint invoke {record.name} --input rows.csv\n")
    write(f"       gantline endpoint delete {record.name}\n")
