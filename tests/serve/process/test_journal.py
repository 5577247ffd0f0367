"""The journal keeps what matters: of each subject the last change, in the order of the last changes."""

from __future__ import annotations

import pytest
from gantline.serve.control import Effect
from gantline.serve.process.journal import MAX_SUBJECTS, Change, Journal

from gantline.errors import Unavailable


def load(journal: Journal, subject: str) -> None:
    journal.check(Effect(subject))
    journal.record(Effect(subject), Change("load", {"name": subject}))


def test_the_last_change_of_each() -> None:
    journal = Journal()
    for subject in ("a", "b", "a", "c"):
        load(journal, subject)
    journal.record(Effect("b"), Change("unload", {"name": "b"}))
    assert journal.subjects() == ["a", "c", "b"]
    assert journal.last("b") == ("unload", {"name": "b"}) and journal.last("c") == ("load", {"name": "c"})
    assert "unload" in repr(journal)


def test_what_is_undone_is_forgotten() -> None:
    journal = Journal()
    for subject in ("region:a", "region:b", "regional", "region:c"):
        load(journal, subject)
    journal.record(Effect("region:b", undoes=True), Change("unregister", {}))
    assert journal.subjects() == ["region:a", "regional", "region:c"] and journal.last("region:b") is None
    journal.record(Effect("region:", undoes=True), Change("unregister", {}))
    assert journal.subjects() == ["regional"]


def test_it_is_bounded() -> None:
    journal = Journal()
    for i in range(MAX_SUBJECTS):
        load(journal, str(i))
    load(journal, "0")
    journal.check(Effect("one more", undoes=True))
    with pytest.raises(Unavailable, match="restart the server"):
        load(journal, "one more")
