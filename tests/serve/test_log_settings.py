"""Log settings act on real handlers: what is written, and in what form."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from gantline.serve.control import Control
from gantline.serve.log_settings import LogSettings

from gantline.errors import BadRequest, GantlineError, Unsupported

START = {
    "log_file": "", "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0,
    "log_format": "default",
}  # fmt: skip


class Desk:
    """A log of its own on the root logger, and settings over it."""

    def __init__(self, level: str = "info") -> None:
        self.text = io.StringIO()
        self.handler = logging.StreamHandler(self.text)
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.control = Control()
        self.settings = LogSettings(level, self.control)
        logging.getLogger().addHandler(self.handler)

    def set(self, **update: Any) -> dict[str, Any]:
        found: dict[str, Any] = asyncio.run(self.control.call("log_settings", update=update))
        return found

    def written(self, name: str = "gantline.test") -> str:
        """The levels of what is written when one record of each is logged."""
        self.text.seek(0)
        self.text.truncate()
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "x")
        return "".join(line.split()[-2][0] for line in self.text.getvalue().splitlines())


@pytest.fixture
def desk() -> Iterator[Desk]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    desk = Desk()
    yield desk
    desk.settings.close()
    root.removeHandler(desk.handler)
    root.setLevel(level)


def test_each_switch_acts(desk: Desk) -> None:
    assert desk.set() == START and desk.written() == "IWE"
    assert desk.set(log_info=False) == START | {"log_info": False}
    assert desk.written() == "WE" and desk.written("other.library") == "IWE"
    desk.set(log_info=True, log_warning=False)
    assert desk.written() == "IE"
    desk.set(log_verbose_level=1, log_error=False)
    assert desk.written() == "DI"
    desk.set(log_verbose_level=0, log_info=False)
    assert desk.written() == ""
    assert desk.set(log_info=None, log_warning=None, log_error=None) == START, "null is what was at the start"
    assert desk.written() == "IWE"


def test_the_form_of_times(desk: Desk) -> None:
    def when() -> str:
        desk.written()
        return desk.text.getvalue()

    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO", when())
    assert desk.set(log_format="ISO8601")["log_format"] == "ISO8601"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO", when())
    desk.set(log_format="default")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO", when())


def test_closing_leaves_the_log_as_it_was(desk: Desk) -> None:
    desk.set(log_info=False, log_error=False, log_format="ISO8601")
    assert desk.written() == "W"
    desk.settings.close()
    assert desk.written() == "IWE" and "Z INFO" not in desk.text.getvalue()
    assert not desk.handler.filters


def test_the_start_is_what_the_server_was_told() -> None:
    assert LogSettings("warning", Control()).values == START | {"log_info": False}
    assert LogSettings("debug", Control()).values == START | {"log_verbose_level": 1}


@pytest.mark.parametrize(
    ("update", "kind", "words"),
    [
        ({"log_info": "yes"}, BadRequest, '"log_info" must be true or false'),
        ({"log_verbose_level": -1}, BadRequest, "whole number from 0"),
        ({"log_verbose_level": True}, BadRequest, "whole number from 0"),
        ({"log_format": "xml"}, BadRequest, '"default" or "ISO8601"'),
        ({"log_file": "/tmp/x"}, Unsupported, "cannot be changed"),
        ({"log_nonsense": True}, BadRequest, "unknown log setting 'log_nonsense'"),
        ({"log_nonsense": None}, BadRequest, "unknown log setting 'log_nonsense'"),
    ],
)
def test_a_wrong_setting_changes_nothing(
    desk: Desk, update: dict[str, Any], kind: type[GantlineError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        desk.set(log_warning=False, **update)
    assert desk.set() == START and desk.written() == "IWE"
