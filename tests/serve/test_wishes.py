"""What clients may ask for in headers and parameters, and every way to say it wrongly."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.serve.exchange import Head
from gantline.serve.policy import LevelPolicy, QueuePolicy
from gantline.serve.wishes import Wishes, settle, wishes_of

from gantline.errors import BadRequest, DeadlineExceeded
from gantline.request import Request

MS = 1_000_000


def head(**headers: str) -> Head:
    return Head(b"POST", b"/", b"", [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()])


def settled(parameters: dict[str, Any] | None = None, policy: QueuePolicy | None = None, **headers: str) -> Request:
    request = Request({}, model="m", parameters=parameters, arrived=1000, queued=1000)
    settle(request, wishes_of(head(**headers)), policy or QueuePolicy())
    return request


def test_headers() -> None:
    request = settled(x_gantline_timeout_ms="2.5", x_gantline_priority="3", x_gantline_tenant="gold")
    assert (request.deadline, request.priority, request.tenant) == (1000 + 2_500_000, 3, b"gold")


def test_a_head_is_read_once() -> None:
    one = head(content_encoding="gzip", inference_header_content_length="12")
    assert wishes_of(one) is wishes_of(one) == Wishes(12, b"gzip")
    assert not wishes_of(one).urgent and wishes_of(head(x_gantline_tenant="a")).urgent


def test_parameters() -> None:
    request = settled({"timeout": 2000, "priority": 2, "sequence_id": 7, "sequence_start": True, "sequence_end": True})
    assert (request.deadline, request.priority) == (1000 + 2 * MS, 2)
    assert (request.sequence, request.sequence_start, request.sequence_end) == (7, True, True)
    assert settled({"sequence_id": "a"}).sequence == "a" and settled({"sequence_id": ""}).sequence == 0


def test_the_shortest_time_out_counts() -> None:
    assert settled({"timeout": 9000}, x_gantline_timeout_ms="4").deadline == 1000 + 4 * MS
    assert settled({"timeout": 3000}, x_gantline_timeout_ms="4").deadline == 1000 + 3 * MS
    for both in ([b"4", b"60000"], [b"60000", b"4"]):  # a proxy may add a header of its own
        twice = Head(b"POST", b"/", b"", [(b"x-gantline-timeout-ms", value) for value in both])
        assert wishes_of(twice).timeout_ns == 4 * MS
    by_grpc = Request({}, deadline=1000 + MS, arrived=1000, queued=1000)
    settle(by_grpc, Wishes(timeout_ns=2 * MS), QueuePolicy(timeout_ns=MS // 2))
    assert by_grpc.deadline == 1000 + MS


def test_the_model_s_own_time_out_is_for_those_that_bring_none() -> None:
    policy = QueuePolicy(timeout_ns=5 * MS)
    assert settled(policy=policy).deadline == 1000 + 5 * MS
    assert settled({"timeout": 9000}, policy).deadline == 1000 + 9 * MS
    fixed = QueuePolicy(timeout_ns=5 * MS, timeout_override=False)
    assert settled({"timeout": 9000}, fixed).deadline == 1000 + 5 * MS
    assert settled(policy=QueuePolicy(timeout_ns=5 * MS, demote=True)).deadline == 0


def test_too_late_already() -> None:
    request = Request({}, model="m", arrived=1000, queued=1000 + 3 * MS)
    with pytest.raises(DeadlineExceeded, match="model 'm': the deadline had passed when the request was read"):
        settle(request, Wishes(timeout_ns=3 * MS), QueuePolicy())


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x_gantline_timeout_ms": "soon"}, "x-gantline-timeout-ms is 'soon', expected milliseconds above 0"),
        ({"x_gantline_timeout_ms": "0"}, "x-gantline-timeout-ms is '0'"),
        ({"x_gantline_timeout_ms": "nan"}, "x-gantline-timeout-ms is 'nan'"),
        ({"x_gantline_timeout_ms": "1e12"}, "of at most a day"),
        ({"x_gantline_timeout_ms": "1_000"}, "x-gantline-timeout-ms is '1_000'"),
        ({"x_gantline_priority": "-1"}, "x-gantline-priority is '-1', expected a whole number"),
        ({"x_gantline_priority": "9" * 10}, "x-gantline-priority"),
        ({"x_gantline_tenant": "a" * 129}, "x-gantline-tenant has 129 bytes, expected at most 128"),
        ({"inference_header_content_length": "x"}, "Inference-Header-Content-Length is 'x', expected a whole number"),
    ],
)
def test_headers_that_make_no_sense(headers: dict[str, str], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        wishes_of(head(**headers))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"timeout": -1}, "parameter 'timeout' is -1, expected a whole number from 0 up"),
        ({"timeout": 1.5}, "parameter 'timeout' is 1.5"),
        ({"priority": "high"}, "parameter 'priority' is 'high'"),
        ({"priority": True}, "parameter 'priority' is True"),
        ({"sequence_id": 1.5}, "parameter 'sequence_id' is 1.5, expected a whole number or text"),
        ({"sequence_id": -5}, "parameter 'sequence_id' is -5"),
        ({"sequence_start": 1}, "parameter 'sequence_start' is 1, expected true or false"),
    ],
)
def test_parameters_that_make_no_sense(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        settled(parameters)


def test_a_level_s_time_out_is_for_its_requests() -> None:
    own = {1: LevelPolicy(2 * MS), 3: LevelPolicy(3 * MS, timeout_override=False), 4: LevelPolicy(MS, demote=True)}
    policy = QueuePolicy(levels=4, default_level=2, timeout_ns=5 * MS, own=own)
    assert [settled({"priority": p}, policy).deadline for p in range(6)] == [
        1000 + ms * MS if ms else 0 for ms in (5, 2, 5, 3, 0, 5)
    ]
    assert settled({"priority": 1, "timeout": 9000}, policy).deadline == 1000 + 9 * MS
    assert settled({"priority": 3, "timeout": 9000}, policy).deadline == 1000 + 3 * MS
    assert settled({"priority": 3}, policy, x_gantline_timeout_ms="1").deadline == 1000 + MS
