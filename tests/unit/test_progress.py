"""How long work is going."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout

import pytest

from airflow_mailchimp_export.progress import LINE_EVERY, Progress, Stage, heard_by, note
from tests.kit.clock import FakeClock


class Terminal(io.StringIO):
    """A terminal, as far as a program can see."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def clock() -> FakeClock:
    """A clock that is moved by hand."""
    return FakeClock()


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_mailchimp_export")


def test_the_end_is_told(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """The last line says how many there were, of how many, in how long, and how fast."""
    with Progress("Sending", "members", total=4000, clock=clock) as progress:
        progress.advance(1500)
        clock.now += 2
        progress.advance(1500)
    assert caplog.messages == ["Sending: 3,000 of 4,000 members in 2.0 s, 1,500/s"]


def test_a_line_every_five_seconds(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """However often it is advanced, there is at most one line in five seconds."""
    with Progress("Reading", "profiles", clock=clock) as progress:
        for _ in range(120):
            clock.now += 0.1
            progress.advance(10)
        lines = list(caplog.messages)
    assert lines == [
        "Reading: 500 profiles in 5.0 s, 100/s",
        "Reading: 1,000 profiles in 10.0 s, 100/s",
    ]
    assert caplog.messages[2:] == ["Reading: 1,200 profiles in 12.0 s, 100/s"]
    assert LINE_EVERY == 5.0


def test_no_time_at_all(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """What took no measurable time has no speed."""
    with Progress("Reading", "profiles", clock=clock):
        pass
    assert caplog.messages == ["Reading: 0 profiles in 0.0 s"]


def test_a_failure_is_told_too(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Work that breaks off says how far it got, and the failure comes through."""

    def breaking_off() -> None:
        with Progress("Sending", "members", total=10, clock=clock) as progress:
            progress.advance(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaking_off()
    assert caplog.messages == ["Sending: 3 of 10 members in 0.0 s"]


@pytest.mark.parametrize("total", [4000, None])
def test_a_bar_on_a_terminal(
    total: int | None, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal there is a bar instead of lines, on stderr, and the end is still told."""
    monkeypatch.setenv("TERM", "xterm")
    terminal, printed = Terminal(), io.StringIO()
    with redirect_stderr(terminal), redirect_stdout(printed):
        with Progress("Sending", "members", total=total, clock=clock) as progress:
            clock.now += 60
            progress.advance(3000)
            assert caplog.messages == []
        print("done")
    assert "Sending members" in terminal.getvalue()
    assert printed.getvalue() == "done\n"
    assert [message.partition(" members")[0] for message in caplog.messages] == [
        "Sending: 3,000" + (" of 4,000" if total else "")
    ]


def test_lines_on_a_terminal_that_cannot_draw(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a bar cannot be drawn there are lines."""
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with redirect_stderr(terminal), Progress("Sending", "members", clock=clock) as progress:
        clock.now += 5
        progress.advance(10)
        assert caplog.messages == ["Sending: 10 members in 5.0 s, 2/s"]
    assert terminal.getvalue() == ""


def test_nothing_to_do_is_not_told(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """None of none is no line."""
    with Progress("Planning", "members", total=0, clock=clock):
        pass
    assert caplog.messages == []


def test_the_last_line_is_told_once(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Where the last members came with a line of their own, the end repeats none."""
    with Progress("Sending", "members", total=20, clock=clock) as progress:
        clock.now += 5
        progress.advance(20)
    assert caplog.messages == ["Sending: 20 of 20 members in 5.0 s, 4/s"]


def test_who_listens_is_told_now_and_then(clock: FakeClock) -> None:
    """A listener hears of all work, at most every five seconds, also where one kind of work follows another."""
    heard: list[Stage] = []
    with heard_by(heard.append, clock=clock):
        with Progress("Reading", "profiles", clock=clock) as progress:
            for _ in range(60):
                progress.advance(10)
                clock.now += 0.1
        with Progress("Sending", "members", total=50, clock=clock) as progress:
            clock.now += 4.5
            progress.advance(20)
        note(Stage("Waiting", "operations", 1, 2))
    note(Stage("Waiting", "operations", 2, 2))
    assert heard == [
        Stage("Reading", "profiles", 0),
        Stage("Reading", "profiles", 510),
        Stage("Sending", "members", 20, 50),
    ]


def test_a_listener_that_fails_harms_nobody(clock: FakeClock) -> None:
    """What is told to somebody else must not end the work."""

    def fail(stage: Stage) -> None:
        raise OSError

    with heard_by(fail, clock=clock), Progress("Reading", "profiles", clock=clock) as progress:
        progress.advance(10)
