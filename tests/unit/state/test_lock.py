"""One run of an export at a time."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from upath import UPath

from airflow_mailchimp_export.errors import ExportBusy, RetryableError
from airflow_mailchimp_export.state.lock import LEASE, LOCK, WAITING_LEASE, Lock
from airflow_mailchimp_export.state.run import REPORT, ExportFolder, RunFolder
from tests.kit.clock import FakeClock
from tests.kit.waiting import wait_until

ROUNDS = 60


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ExportFolder:
    """The folder of an export, on the local disk and on another storage."""
    places = {"local": tmp_path / "exports" / "export", "memory": UPath(f"memory://{uuid4().hex}/export")}
    return ExportFolder(places[request.param])


@pytest.fixture
def clock() -> FakeClock:
    """A clock that goes when it is told to."""
    return FakeClock()


def until(folder: ExportFolder) -> tuple[str, float]:
    """Whose lease it is, and when it ends."""
    lease = orjson.loads(folder.read(LOCK))
    return lease["run"], lease["until"]


def take(lock: Lock) -> bool:
    """Try to take the lock, and die with it; say whether it worked."""
    try:
        with lock.held():
            return True
    except ExportBusy:
        return False


class TestHolding:
    """Who gets the lock."""

    def test_a_second_run_fails_at_once(self, folder: ExportFolder, clock: FakeClock) -> None:
        """The second run is told which run is at work, for how long at most, and which file to remove if it is dead."""
        with Lock(folder, "first", now=clock).held():
            clock.now += 20
            with pytest.raises(ExportBusy) as busy, Lock(folder, "second", now=clock).held():
                pytest.fail("Two runs at once")
        assert str(busy.value) == (
            "Run 'first' of this export is at work, or waits for Mailchimp; its lock ends in 400 s unless it is "
            f"renewed. Wait for it; if you know that it is dead, remove {folder.uri}/{LOCK}"
        )
        assert until(folder)[0] == "first"

    def test_the_lock_outlives_the_work(self, folder: ExportFolder, clock: FakeClock) -> None:
        """A run that ends without letting go, as a killed one does, holds the lock until its lease is over."""
        assert take(Lock(folder, "first", now=clock))
        clock.now += LEASE - 1
        assert not take(Lock(folder, "second", now=clock))
        clock.now += 1
        assert take(Lock(folder, "second", now=clock))
        assert until(folder) == ("second", clock.now + LEASE)

    @pytest.mark.parametrize("ahead", [200.0, -200.0])
    def test_clocks_may_be_minutes_apart(self, folder: ExportFolder, clock: FakeClock, ahead: float) -> None:
        """Another machine, whose clock is ahead or behind, does not take the lock of a run that renews it."""
        other = FakeClock()
        with Lock(folder, "first", now=clock).held():
            clock.now += 30
            other.now = clock.now + ahead
            assert not take(Lock(folder, "second", now=other))
        lock = Lock(folder, "third", now=clock)
        clock.now += LEASE
        with lock.held():
            other.now = clock.now + 30 + ahead
            assert not take(Lock(folder, "second", now=other))

    def test_another_try_goes_on_at_once(self, folder: ExportFolder, clock: FakeClock) -> None:
        """A retry of the same run takes its lock over without waiting, with a lease of its own."""
        assert take(Lock(folder, "run", now=clock))
        clock.now += 5
        assert take(Lock(folder, "run", now=clock))
        assert until(folder) == ("run", clock.now + LEASE)

    def test_a_run_with_a_report_holds_nothing(self, folder: ExportFolder, clock: FakeClock) -> None:
        """Whoever died between the report and the release of the lock keeps nobody out, however long the lease."""
        lock = Lock(folder, "run", now=clock)
        with lock.held():
            lock.keep_waiting()
        folder.put(f"run/{REPORT}", b"{}")
        assert take(Lock(folder, "run-2", now=clock))

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b'{"run": "x"}', b'{"run": "x", "until": 1, "waiting": 2}']
    )
    def test_an_unreadable_lock_is_nobodys(
        self, folder: ExportFolder, clock: FakeClock, content: bytes
    ) -> None:
        """What cannot be read as a lease keeps nobody out."""
        folder.put(LOCK, content)
        assert take(Lock(folder, "run", now=clock))

    def test_the_time_is_that_of_the_machine(self, folder: ExportFolder) -> None:
        """Without a clock of its own the lock goes by the system's."""
        with Lock(folder, "first").held():
            assert not take(Lock(folder, "second"))


class Overtaken(ExportFolder):
    """A place that keeps nobody out, where another run is quicker by a hair."""

    def create(self, name: str, content: bytes) -> bool:
        """Let the other run create the file first."""
        super().create(name, orjson.dumps({"run": "quicker", "until": 1120.0}))
        return super().create(name, content)


@pytest.mark.parametrize("place", ["local", "memory"])
def test_whoever_creates_the_lock_has_it(tmp_path: Path, clock: FakeClock, place: str) -> None:
    """Where nothing else keeps two runs apart, the one whose lock is there already is told to the other."""
    location = tmp_path / "export" if place == "local" else UPath(f"memory://{uuid4().hex}/export")
    folder = Overtaken(location)
    with (
        pytest.raises(ExportBusy, match=r"Run 'quicker' .* ends in 120 s"),
        Lock(folder, "run", now=clock).held(),
    ):
        pytest.fail("Two runs at once")
    assert until(folder)[0] == "quicker"


class Mailchimp:
    """What is asked how far the batches of a run are.

    :ivar asked: for which runs.
    """

    def __init__(self, *answers: str | Exception | Callable[[], object]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def __call__(self, run: RunFolder) -> str:
        """Give the next answer, the last one again and again; what can be called is called first, and is no answer."""
        self.asked.append(run.name)
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer()
            return ""
        return answer


def wait(folder: ExportFolder, run: str, clock: FakeClock) -> None:
    """Let a run take the lock and wait for Mailchimp with it."""
    lock = Lock(folder, run, now=clock)
    with lock.held():
        lock.keep_waiting()


def fail_late(lock: Lock) -> None:
    """Fail when all is handed over."""
    lock.keep_waiting()
    raise ValueError("late")


LATER = [0.0, LEASE, WAITING_LEASE - 1, WAITING_LEASE, 10 * WAITING_LEASE]
"""Seconds after a run began to wait."""


class TestWaiting:
    """While Mailchimp works."""

    @pytest.mark.parametrize("later", LATER)
    def test_a_run_whose_batches_move_is_left_alone(
        self, folder: ExportFolder, clock: FakeClock, later: float
    ) -> None:
        """However long a run waits, the other one is told how far it is, and which file to remove if it is dead."""
        wait(folder, "first", clock)
        clock.now += later
        mailchimp = Mailchimp("1 of 2 batches finished, 5 of 9 operations")
        with pytest.raises(ExportBusy) as busy, Lock(folder, "b", progress_of=mailchimp, now=clock).held():
            pytest.fail("Two runs at once")
        assert str(busy.value) == (
            "Run 'first' of this export waits for Mailchimp: 1 of 2 batches finished, 5 of 9 operations. It is left "
            "alone as long as its batches move. Wait for it; if you know that it is dead, remove "
            f"{folder.uri}/{LOCK}"
        )
        assert mailchimp.asked == ["first"]
        assert until(folder)[0] == "first"

    @pytest.mark.parametrize("later", LATER)
    def test_a_run_that_waits_for_nothing_is_taken_over(
        self, folder: ExportFolder, clock: FakeClock, later: float
    ) -> None:
        """However short a run has waited, where nothing is left to wait for, the other one has the lock at once."""
        wait(folder, "first", clock)
        clock.now += later
        assert take(Lock(folder, "second", progress_of=Mailchimp(""), now=clock))
        assert until(folder) == ("second", clock.now + LEASE)

    @pytest.mark.parametrize("later", LATER)
    def test_what_cannot_be_asked_is_not_taken_over(
        self, folder: ExportFolder, clock: FakeClock, later: float
    ) -> None:
        """Where Mailchimp is out of reach, that is the error, and the lock stays."""
        wait(folder, "first", clock)
        clock.now += later
        lock = Lock(folder, "second", progress_of=Mailchimp(RetryableError("503")), now=clock)
        with pytest.raises(RetryableError, match="503"), lock.held():
            pytest.fail("Two runs at once")
        assert until(folder)[0] == "first"

    def test_nobody_is_asked_about_a_run_at_work(self, folder: ExportFolder, clock: FakeClock) -> None:
        """A run that is at work renews its lease: only the clock decides there."""
        assert take(Lock(folder, "first", now=clock))
        mailchimp = Mailchimp("moves")
        assert not take(Lock(folder, "second", progress_of=mailchimp, now=clock))
        clock.now += LEASE
        assert take(Lock(folder, "second", progress_of=mailchimp, now=clock))
        assert mailchimp.asked == []

    def test_nobody_is_asked_about_a_run_with_a_report(self, folder: ExportFolder, clock: FakeClock) -> None:
        """Nor about the run itself, or one that is over."""
        mailchimp = Mailchimp("moves")
        wait(folder, "first", clock)
        assert take(Lock(folder, "first", progress_of=mailchimp, now=clock))
        wait(folder, "first", clock)
        folder.put(f"first/{REPORT}", b"{}")
        assert take(Lock(folder, "second", progress_of=mailchimp, now=clock))
        assert mailchimp.asked == []

    def test_the_lock_changes_hands_meanwhile(self, folder: ExportFolder, clock: FakeClock) -> None:
        """Whose report begins while Mailchimp is asked is at work, and is not taken over."""
        wait(folder, "first", clock)
        mailchimp = Mailchimp(lambda: take(Lock(folder, "first", now=clock)))
        with (
            pytest.raises(ExportBusy, match=r"Run 'first' .* ends in 420 s"),
            Lock(folder, "second", progress_of=mailchimp, now=clock).held(),
        ):
            pytest.fail("Two runs at once")
        assert mailchimp.asked == ["first"]

    def test_another_run_waits_by_then(self, folder: ExportFolder, clock: FakeClock) -> None:
        """Where another run has taken its place and waits, that one is asked about too."""
        wait(folder, "first", clock)

        def overtake() -> None:
            """Take the place of the run that waits for nothing."""
            with Lock(folder, "quicker", progress_of=Mailchimp(""), now=clock).held():
                pass
            wait(folder, "quicker", clock)

        mailchimp = Mailchimp(overtake, "moves")
        with pytest.raises(ExportBusy, match="Run 'quicker'"):
            Lock(folder, "second", progress_of=mailchimp, now=clock).held().__enter__()
        assert mailchimp.asked == ["first", "quicker"]

    def test_who_cannot_ask_goes_by_the_clock(self, folder: ExportFolder, clock: FakeClock) -> None:
        """Without Mailchimp at hand, as when a person is forgotten, a run that waits has the lock for two hours."""
        wait(folder, "first", clock)
        assert until(folder) == ("first", clock.now + WAITING_LEASE)
        clock.now += WAITING_LEASE - 1
        assert not take(Lock(folder, "second", now=clock))
        clock.now += 1
        assert take(Lock(folder, "second", now=clock))

    def test_a_renewal_does_not_end_the_waiting(self, folder: ExportFolder, clock: FakeClock) -> None:
        """However often the lock is renewed, it says in the end that the run waits."""
        lock = Lock(folder, "run", now=clock, renew_every=0.0)
        with lock.held():
            lock.keep_waiting()
        assert orjson.loads(folder.read(LOCK))["waiting"] is True

    def test_one_that_was_overtaken_does_not_wait(
        self, folder: ExportFolder, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A run whose place was taken while it stood still leaves the other one its lock."""
        lock = Lock(folder, "slow", now=clock)
        with lock.held():
            lock.keep_waiting()
            clock.now += LEASE
            assert take(Lock(folder, "new", now=clock))
        assert until(folder)[0] == "new"
        assert "Run new has taken the lock over" in caplog.text

    def test_one_that_fails_after_all_does_not_wait(self, folder: ExportFolder, clock: FakeClock) -> None:
        """A run that fails once it has handed all over lets go of the lock."""
        lock = Lock(folder, "run", now=clock)
        with pytest.raises(ValueError, match="late"), lock.held():
            fail_late(lock)
        assert not folder.exists(LOCK)


class TestEarlierReleases:
    """Leases that do not say whether their run waits."""

    @pytest.mark.parametrize(
        ("left", "answer", "taken"),
        [
            (WAITING_LEASE, "moves", False),
            (WAITING_LEASE, "", True),
            (LEASE + 1, "moves", False),
            (LEASE + 1, "", True),
            (0, "moves", False),
            (0, "", True),
            (-WAITING_LEASE, "moves", False),
        ],
    )
    def test_mailchimp_is_asked(
        self, folder: ExportFolder, clock: FakeClock, left: float, answer: str, *, taken: bool
    ) -> None:
        """A lease that is longer than that of a run at work, or has ended, may be that of one that waits."""
        folder.put(LOCK, orjson.dumps({"run": "old", "until": clock.now + left}))
        mailchimp = Mailchimp(answer)
        assert take(Lock(folder, "new", progress_of=mailchimp, now=clock)) is taken
        assert mailchimp.asked == ["old"]

    @pytest.mark.parametrize("left", [1, LEASE])
    def test_one_that_may_be_at_work_is_waited_for(
        self, folder: ExportFolder, clock: FakeClock, left: float
    ) -> None:
        """A shorter one may be that of a run at work, and keeps everybody out until it ends."""
        folder.put(LOCK, orjson.dumps({"run": "old", "until": clock.now + left}))
        assert not take(Lock(folder, "new", progress_of=Mailchimp(""), now=clock))

    def test_what_they_read(self, folder: ExportFolder, clock: FakeClock) -> None:
        """Whom an earlier release would ask the clock about, it finds a lease of two hours."""
        wait(folder, "run", clock)
        assert orjson.loads(folder.read(LOCK)) == {
            "run": "run",
            "until": clock.now + WAITING_LEASE,
            "waiting": True,
        }


class TestReleasing:
    """Letting go."""

    def test_the_next_run_goes_ahead(self, folder: ExportFolder, clock: FakeClock) -> None:
        """A lock that was let go is free at once, and letting go again is no error."""
        lock = Lock(folder, "first", now=clock)
        assert take(lock)
        lock.release()
        lock.release()
        assert not folder.exists(LOCK)
        assert take(Lock(folder, "second", now=clock))

    def test_the_lock_of_another_run_stays(self, folder: ExportFolder, clock: FakeClock) -> None:
        """A run that was given up for dead and ends late does not let go what is another's by now."""
        late = Lock(folder, "late", now=clock)
        assert take(late)
        clock.now += LEASE
        assert take(Lock(folder, "new", now=clock))
        late.release()
        assert until(folder)[0] == "new"


class TestRenewal:
    """A run that is at work for long."""

    def test_it_is_renewed_while_the_run_is_at_work(self, folder: ExportFolder, clock: FakeClock) -> None:
        """The lease is prolonged again and again, and no more once the work is over."""
        lock = Lock(folder, "run", now=clock, renew_every=0.002)
        with lock.held():
            for _ in range(3):
                clock.now += 60
                wait_until(lambda: folder.exists(LOCK) and until(folder) == ("run", clock.now + LEASE))
        before = until(folder)
        clock.now += 60
        threading.Event().wait(0.02)
        assert until(folder) == before

    def test_a_run_that_was_given_up_does_not_take_it_back(
        self, folder: ExportFolder, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A process that stood still while another run took over says so and leaves the lock alone."""

        def overtaken() -> bool:
            """Take the lock over, again where a renewal was under way."""
            with folder.exclusive():
                folder.put(LOCK, orjson.dumps({"run": "new", "until": clock.now + LEASE}))
            return "Run new has taken the lock over" in caplog.text

        with Lock(folder, "slow", now=clock, renew_every=0.002).held():
            wait_until(overtaken)
            assert until(folder)[0] == "new"

    def test_a_full_disk_does_not_end_it(
        self, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A renewal that fails is told, and tried again."""
        folder = ExportFolder(tmp_path / "export")
        in_the_way = tmp_path / "export" / LOCK
        with Lock(folder, "run", now=clock, renew_every=0.002).held():
            with folder.exclusive():
                folder.remove(LOCK)
                in_the_way.mkdir()
            wait_until(lambda: "The lock could not be renewed" in caplog.text)
            in_the_way.rmdir()
            wait_until(lambda: folder.exists(LOCK))


class TestAtTheSameInstant:
    """Many runs that start together on a local disk."""

    @pytest.mark.parametrize("dead", [False, True], ids=["no lock", "a dead run's lock"])
    def test_exactly_one_of_many_threads_wins(self, tmp_path: Path, dead: bool) -> None:
        """Of eight threads that take the lock at once one gets it, also where a dead run has left its lock."""
        for number in range(ROUNDS):
            folder = ExportFolder(tmp_path / str(number))
            if dead:
                folder.put(LOCK, orjson.dumps({"run": "dead", "until": 1.0}))
            assert sum(rush(folder, [f"run{index}" for index in range(8)])) == 1

    def test_exactly_one_of_several_processes_wins(self, tmp_path: Path) -> None:
        """Of four processes that take the lock at once one gets it, with and without a dead run's lock."""
        folders = [ExportFolder(tmp_path / str(number)) for number in range(ROUNDS)]
        for number, folder in enumerate(folders):
            folder.put("made", b"")
            if number % 2:
                folder.put(LOCK, orjson.dumps({"run": "dead", "until": 1.0}))
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(4)
        results = context.SimpleQueue()
        arguments = [folder.uri for folder in folders]
        processes = [
            context.Process(target=run_for_all, args=(f"run{number}", arguments, barrier, results))
            for number in range(4)
        ]
        for process in processes:
            process.start()
        won = [results.get() for _ in processes]
        for process in processes:
            process.join()
        assert [sum(wins) for wins in zip(*won, strict=True)] == [1] * ROUNDS


def rush(folder: ExportFolder, runs: list[str]) -> list[bool]:
    """Let runs take the lock at once, each in a thread."""
    barrier = threading.Barrier(len(runs))
    won: list[bool] = []

    def start(run: str) -> None:
        lock = Lock(folder, run)
        barrier.wait()
        won.append(take(lock))

    threads = [threading.Thread(target=start, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def run_for_all(
    run: str, uris: list[str], barrier: threading.Barrier, results: multiprocessing.SimpleQueue
) -> None:
    """Take one lock after the other, each together with the other processes."""
    won = []
    for uri in uris:
        lock = Lock(ExportFolder(Path(uri)), run)
        barrier.wait()
        won.append(take(lock))
    results.put(won)
