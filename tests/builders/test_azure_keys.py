"""Each key of an Azure document is acted on or listed with a reason."""

from __future__ import annotations

from gantline.builders.azure_keys import not_applied


def test_the_longest_key_that_is_known_says_why() -> None:
    tree = {
        "$schema": "x", "name": "blue", "model": {"path": "m", "version": 3}, "instance_type": "DS3",
        "request_settings": {"request_timeout_ms": 1, "retries": 2}, "liveness_probe": {"period": 1}, "new": 1,
        "tags": None,
    }  # fmt: skip
    found = list(not_applied("deployment", tree, "d.yml"))
    assert [line.partition(" is not applied: ")[0] for line in found] == [
        "d.yml: name", "d.yml: model.version", "d.yml: instance_type", "d.yml: request_settings.retries",
        "d.yml: liveness_probe", "d.yml: new",
    ]  # fmt: skip
    assert found[-1].endswith("Gantline does not know it") and "/v2/health/live" in found[-2]


def test_a_path_in_place_of_an_object_is_no_leftover() -> None:
    assert list(not_applied("deployment", {"model": "./m"}, "d.yml")) == []
