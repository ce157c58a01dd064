"""How many requests may be in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.mailchimp.limiter import BACK_OFF_EVERY, GROW_AFTER, AdaptiveLimiter
from tests.kit.clock import FakeClock
from tests.kit.waiting import PATIENCE

MOMENT = 0.05
"""Seconds in which a thread that is not held up would long have come through."""


def limit_after(limiter: AdaptiveLimiter, times: int) -> int:
    """The limit after so many good answers."""
    for _ in range(times):
        limiter.record_success()
    return limiter.limit


def waiting_for(limiter: AdaptiveLimiter, stack: ExitStack) -> tuple[threading.Thread, threading.Event]:
    """A thread that wants a slot, and what tells that it got one."""
    inside = threading.Event()

    def enter() -> None:
        with limiter.slot():
            inside.set()

    thread = threading.Thread(target=enter)
    thread.start()
    stack.callback(thread.join)
    return thread, inside


def test_a_full_limiter() -> None:
    """A request that finds every slot taken waits until one is given back."""
    limiter = AdaptiveLimiter(2, clock=FakeClock())
    with ExitStack() as stack, limiter.slot(), ExitStack() as second:
        second.enter_context(limiter.slot())
        _, inside = waiting_for(limiter, stack)
        assert not inside.wait(MOMENT)
        second.close()
        assert inside.wait(PATIENCE)


def test_a_slot_is_given_back_on_an_error() -> None:
    """An error inside gives the slot back."""
    limiter = AdaptiveLimiter(1, clock=FakeClock())
    with pytest.raises(KeyError), limiter.slot():
        raise KeyError
    with limiter.slot():
        assert limiter.limit == 1


def test_halving() -> None:
    """Each push-back halves the limit, and one slot always stays."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(8, clock=clock)
    limits = []
    for _ in range(5):
        limiter.back_off()
        limits.append(limiter.limit)
        clock.sleep(BACK_OFF_EVERY)
    assert limits == [4, 2, 1, 1, 1]


def test_push_backs_that_come_together() -> None:
    """Push-backs within a second count as one, for the calls in flight are refused together."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(8, clock=clock)
    for _ in range(8):
        limiter.back_off()
        clock.sleep(BACK_OFF_EVERY / 10)
    assert limiter.limit == 4


def test_growing_slowly() -> None:
    """One slot is added after each row of good answers, up to the limit that was set."""
    limiter = AdaptiveLimiter(4, clock=FakeClock())
    limiter.back_off()
    assert limit_after(limiter, GROW_AFTER - 1) == 2
    assert limit_after(limiter, 1) == 3
    assert limit_after(limiter, GROW_AFTER - 1) == 3
    assert limit_after(limiter, 1) == 4
    assert limit_after(limiter, 10 * GROW_AFTER) == 4


def test_a_push_back_ends_the_row() -> None:
    """After a push-back the row of good answers begins again."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(8, clock=clock)
    limit_after(limiter, GROW_AFTER - 1)
    limiter.back_off()
    assert limit_after(limiter, GROW_AFTER - 1) == 4
    assert limit_after(limiter, 1) == 5


def test_a_narrowed_limit() -> None:
    """After a push-back nobody is let in until as many have left."""
    limiter = AdaptiveLimiter(2, clock=FakeClock())
    with ExitStack() as stack, limiter.slot():
        with limiter.slot():
            limiter.back_off()
            _, inside = waiting_for(limiter, stack)
            assert not inside.wait(MOMENT)
        assert not inside.wait(MOMENT)
        limit_after(limiter, GROW_AFTER)
        assert inside.wait(PATIENCE), "widening lets those in who wait"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["back off", "success", "sleep"]), max_size=200), st.integers(1, 10))
def test_the_limit_stays_in_bounds(events: list[str], most: int) -> None:
    """Whatever happens, the limit is between one and what was set."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(most, clock=clock)
    happenings: dict[str, Callable[[], None]] = {
        "back off": limiter.back_off,
        "success": limiter.record_success,
        "sleep": partial(clock.sleep, 0.6),
    }
    for event in events:
        happenings[event]()
        assert 1 <= limiter.limit <= most


def test_many_threads() -> None:
    """However many threads come, and however the limit moves, no more than were allowed are inside."""
    limiter = AdaptiveLimiter(3, clock=FakeClock())
    lock, inside, most = threading.Lock(), 0, 0

    def pass_through(number: int) -> None:
        nonlocal inside, most
        with limiter.slot():
            with lock:
                inside += 1
                most = max(most, inside)
            (limiter.back_off if number % 7 == 0 else limiter.record_success)()
            with lock:
                inside -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(pass_through, range(500)))
    assert inside == 0
    assert most <= 3
