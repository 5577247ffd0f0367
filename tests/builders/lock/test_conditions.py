"""What the text of a condition says of an image."""

from __future__ import annotations

import ast

import pytest
from gantline.builders.lock.conditions import holds, may_be_absent


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("sys.platform == 'win32'", False),
        ("sys.platform != 'win32'", True),
        ("sys.platform in ('win32', 'cygwin')", False),
        ("sys.platform not in ['darwin']", True),
        ("sys.platform.startswith('lin')", True),
        ("sys.platform.startswith(('win', 'cyg'))", False),
        ("platform.system() == 'Linux'", True),
        ("os.name == 'nt' or TYPE_CHECKING", False),
        ("os.name == 'nt' or anything()", None),
        ("os.name == 'nt' and anything()", False),
        ("not typing.TYPE_CHECKING", True),
        ("not anything()", None),
        ("sys.platform == other", None),
        ("sys.platform < 'm'", None),
        ("sys.platform.startswith()", None),
        ("sys.platform == 3", None),
        ("0", False),
        ("sys.version_info >= (3, 11)", None),
    ],
)
def test_on_linux(text: str, true: bool | None) -> None:
    assert holds(ast.parse(text, mode="eval").body) is true


def test_what_depends_on_what_is_installed() -> None:
    for text, either in (("sys.version_info < (3, 9)", True), ("find_spec('x') is None", True), ("x > 1", False)):
        assert may_be_absent(ast.parse(text, mode="eval").body) is either
