"""When a call is repeated, and when it is given up."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.errors import (
    AccessDenied,
    MailchimpError,
    PermanentError,
    RetryableError,
    Throttled,
    TimedOut,
)
from airflow_mailchimp_export.mailchimp.pace import Pace, Pause, exchange
from airflow_mailchimp_export.mailchimp.protocol import Call, Request, Response
from tests.kit.clock import FakeClock
from tests.kit.http import to_page, to_problem, to_response

CALL = Call(Request("GET", "/ping"), lambda answer: answer["id"])
GOOD = to_response({"id": "good"})
BROKEN = RetryableError("broken connection")

Answer = Response | RetryableError | None


def run(
    answers: Iterable[Answer],
    pace: Pace,
    clock: FakeClock,
    *,
    chance: float = 1.0,
    each: float = 0.0,
    call: Call[Any] = CALL,
) -> tuple[object, list[Pause], int]:
    """Drive an exchange; return its result or error, its pauses, and how many requests it sent.

    :param each: seconds that every request takes.
    """
    feed, pauses, sent = iter(answers), list[Pause](), 0
    flow = exchange(call, pace, clock=clock, chance=lambda: chance)
    result: Answer = None
    while True:
        try:
            step = flow.send(result)
        except StopIteration as answered:
            return answered.value, pauses, sent
        except MailchimpError as error:
            return error, pauses, sent
        if isinstance(step, Pause):
            pauses.append(step)
            clock.sleep(step.seconds)
            result = None
        else:
            assert step is CALL.request
            sent += 1
            clock.now += each
            result = next(feed)


def seconds(pauses: Iterable[Pause]) -> list[float]:
    """How long each pause is."""
    return [pause.seconds for pause in pauses]


def test_a_good_answer() -> None:
    """What is answered at once is sent once, without a pause."""
    assert run([GOOD], Pace(), FakeClock()) == ("good", [], 1)


@pytest.mark.parametrize("failing", [to_page(500), to_problem(429), BROKEN, Response(200, {}, b"{")])
def test_a_second_attempt(failing: Answer) -> None:
    """A passing failure is followed by a pause and the same request."""
    result, pauses, sent = run([failing, GOOD], Pace(), FakeClock())
    assert (result, seconds(pauses), sent) == ("good", [1.0], 2)


@pytest.mark.parametrize("status", [400, 401, 404, 405, 422])
def test_a_refusal(status: int) -> None:
    """A refusal ends the exchange at once."""
    result, pauses, sent = run([to_problem(status)], Pace(), FakeClock())
    assert isinstance(result, PermanentError | AccessDenied)
    assert (pauses, sent) == ([], 1)


def test_doubling() -> None:
    """Each pause is twice the one before, up to the longest."""
    pace = Pace(attempts=6, first_pause=2.0, longest_pause=10.0)
    assert seconds(run(itertools.repeat(BROKEN), pace, FakeClock())[1]) == [2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter() -> None:
    """Chance takes up to half of a pause away, so that what failed together does not return together."""
    pace = Pace(attempts=4, first_pause=2.0)
    assert seconds(run(itertools.repeat(BROKEN), pace, FakeClock(), chance=0.0)[1]) == [1.0, 2.0, 4.0]
    assert seconds(run(itertools.repeat(BROKEN), pace, FakeClock(), chance=0.5)[1]) == [1.5, 3.0, 6.0]


def test_chance_by_default() -> None:
    """Without a given chance, pauses differ between exchanges."""
    found = set()
    for _ in range(20):
        flow = exchange(CALL, Pace(), clock=FakeClock())
        next(flow)
        step = flow.send(BROKEN)
        assert isinstance(step, Pause)
        found.add(step.seconds)
    assert len(found) > 1


def test_a_divisible_call() -> None:
    """A call that can be divided is not repeated once it timed out, but keeps its connection for a pause."""
    divisible = replace(CALL, divisible=True)
    error, pauses, sent = run([BROKEN, to_page(504)], Pace(timeout_pause=5.0), FakeClock(), call=divisible)
    assert isinstance(error, TimedOut)
    assert [(pause.seconds, pause.holds_connection) for pause in pauses] == [(1.0, False), (10.0, True)]
    assert sent == 2


def test_bounded_attempts() -> None:
    """After the last attempt the last error is raised, without a pause before."""
    errors = [RetryableError(str(number)) for number in range(5)]
    result, pauses, sent = run(errors, Pace(attempts=3), FakeClock())
    assert (result, len(pauses), sent) == (errors[2], 2, 3)


def test_deadline() -> None:
    """A call is given up rather than paused past its deadline, whatever is left of its attempts."""
    clock = FakeClock()
    pace = Pace(attempts=100, first_pause=4.0, longest_pause=4.0, deadline=9.5)
    result, pauses, sent = run(itertools.repeat(BROKEN), pace, clock, each=1.0)
    assert result is BROKEN
    assert (seconds(pauses), sent) == ([4.0], 2)
    assert clock() == 1006.0


def test_deadline_includes_its_last_moment() -> None:
    """A pause that ends with the deadline is still made."""
    pace = Pace(attempts=100, first_pause=5.0, longest_pause=5.0, deadline=10.0)
    assert seconds(run(itertools.repeat(BROKEN), pace, FakeClock())[1]) == [5.0, 5.0]


def test_a_timed_out_call_waits_longer() -> None:
    """A call that timed out is not repeated at once, and its pause holds the connection."""
    answers: list[Answer] = [to_page(502), to_page(504), TimedOut("no answer"), GOOD]
    result, pauses, sent = run(answers, Pace(first_pause=1.0, timeout_pause=30.0), FakeClock())
    assert (result, sent) == ("good", 4)
    assert pauses == [Pause(seconds, holds_connection=True) for seconds in (30.0, 60.0, 60.0)]


@pytest.mark.parametrize("answer", [to_problem(429), to_page(403), to_page(429), Throttled("pushed back")])
def test_push_back(answer: Answer) -> None:
    """After a push-back the pause says so; the call itself is over and holds nothing."""
    assert run([answer, GOOD], Pace(), FakeClock())[1] == [Pause(1.0, pushed_back=True)]


@pytest.mark.parametrize("answer", [to_page(500), BROKEN])
def test_other_failures(answer: Answer) -> None:
    """After another failure the pause holds nothing and asks for nothing."""
    assert run([answer, GOOD], Pace(), FakeClock())[1] == [Pause(1.0)]


@pytest.mark.parametrize(
    ("retry_after", "paused"),
    [("0", 1.0), ("7", 7.0), ("soon", 1.0), ("60", 60.0), ("86400", 60.0), ("9" * 400, 60.0)],
)
def test_retry_after(retry_after: str, paused: float) -> None:
    """Retry-After lengthens a pause up to the longest, and never shortens it."""
    answers = [to_problem(429), to_page(503, retry_after=retry_after), GOOD]
    pauses = run(answers[1:], Pace(longest_pause=60.0), FakeClock())[1]
    assert seconds(pauses) == [paused]


@settings(deadline=None)
@given(
    attempt=st.integers(1, 50),
    chance=st.floats(0, 1),
    retry_after=st.none() | st.floats(0, 1e9),
    kind=st.sampled_from([RetryableError, Throttled, TimedOut]),
)
def test_every_pause(
    attempt: int, chance: float, retry_after: float | None, kind: type[RetryableError]
) -> None:
    """Every pause is at least half of the first and at most the longest."""
    pace = Pace()
    pause = pace.pause_after(attempt, kind("x", retry_after=retry_after), chance=chance)
    assert pace.first_pause / 2 <= pause.seconds <= pace.longest_pause


def test_a_driver_that_sends_nothing() -> None:
    """A request of which nothing came counts as not sent, and is repeated."""
    result, pauses, sent = run([None, GOOD], Pace(), FakeClock())
    assert (result, len(pauses), sent) == ("good", 1, 2)
    last, _, _ = run([None], Pace(attempts=1), FakeClock())
    assert str(last) == "The request was not sent"
