"""Targets: the table is what the command line offers."""

from __future__ import annotations

from gantline.builders.deploy.targets import TARGETS

from gantline.cli import deploy, deploy_here


def test_the_command_line_offers_them_all() -> None:
    assert (*deploy_here.TARGETS, *TARGETS) == deploy.TARGETS
