"""What one run leaves behind, whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from upath import UPath

from airflow_mailchimp_export.delivery.watch import LONGEST_WAIT, BatchWatch
from airflow_mailchimp_export.errors import ConfigError, UnreadableFile
from airflow_mailchimp_export.model import Batch
from airflow_mailchimp_export.state.manifest import SubmittedBatch
from airflow_mailchimp_export.state.run import PLAN, REPORT, RUN, ExportFolder, RunFolder
from airflow_mailchimp_export.state.storage import LocalDisk


@pytest.fixture(params=["path", "file url", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | UPath:
    """A place for a run: a path, a URL of the local disk, another storage."""
    places = {
        "path": tmp_path / "exports" / "run",
        "file url": UPath(f"file://{tmp_path}/exports/run"),
        "memory": UPath(f"memory://{uuid4().hex}/exports/run"),
    }
    return places[request.param]


@pytest.fixture
def folder(place: Path | UPath) -> RunFolder:
    """The folder of a run in each of the places."""
    return RunFolder(place)


@pytest.fixture
def local(tmp_path: Path) -> RunFolder:
    """The folder of a run on the local disk."""
    return RunFolder(tmp_path / "exports" / "run")


class TestWriting:
    """Putting files in place."""

    def test_what_is_put_can_be_read(self, folder: RunFolder) -> None:
        """A file that was put is there with its content, by name and by path."""
        assert not folder.exists(RUN)
        folder.put(RUN, b"first")
        folder.put(RUN, b"second")
        assert folder.exists(RUN)
        assert folder.read(RUN) == b"second"
        with folder.reading(RUN) as path:
            assert path.read_bytes() == b"second"
            assert path.name == RUN

    def test_what_is_at_hand_is_what_is_there(self, folder: RunFolder) -> None:
        """A file that is kept at hand is read as it was written or found, and is left alone by that."""
        folder.put(RUN, b"found")
        with folder.at_hand(RUN), folder.at_hand(PLAN):
            assert not folder.has_copy(PLAN)
            folder.put(PLAN, b"written")
            for _ in range(2):
                with folder.reading(RUN) as found, folder.reading(PLAN) as written, folder.at_hand(PLAN):
                    assert (found.read_bytes(), written.read_bytes()) == (b"found", b"written")
        assert (folder.read(RUN), folder.read(PLAN)) == (b"found", b"written")
        assert not folder.has_copy(RUN)

    def test_nothing_stays_at_hand(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Copies of an object storage are gone at the end, whatever ends it."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        folder = RunFolder(UPath(f"memory://{uuid4().hex}/exports/run"))

        def fails() -> None:
            with folder.at_hand(RUN), folder.at_hand(PLAN):
                folder.put(RUN, b"written")
                folder.put(PLAN, b"written")
                raise KeyError

        with pytest.raises(KeyError):
            fails()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize("written", [True, False])
    def test_what_goes_wrong_meanwhile(self, folder: RunFolder, *, written: bool) -> None:
        """An error that comes while a file is at hand is not taken for one of writing that file."""
        with pytest.raises(ConnectionResetError), folder.at_hand(PLAN):  # noqa: PT012
            if written:
                folder.put(PLAN, b"written")
            raise ConnectionResetError

    def test_a_plan_at_hand_that_is_removed(self, local: RunFolder) -> None:
        """Where the folder of the run is removed meanwhile its plan is missing, as it is for whoever comes then."""
        with local.plan_at_hand():
            with local.writing_plan():
                pass
            with local.reading_plan():
                pass
            local.export_folder().remove_run(local)
            with pytest.raises(UnreadableFile, match="is missing"), local.reading_plan():
                pass

    def test_a_note_whose_answer_was_lost(self, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a list of batches that may have been written after all, what is there counts."""
        put = folder.put
        folder.note_batch(SubmittedBatch("first", (0,)))

        def lossy(name: str, content: bytes) -> None:
            put(name, content)
            raise ConfigError("no answer")

        monkeypatch.setattr(folder, "put", lossy)
        with pytest.raises(ConfigError):
            folder.note_batch(SubmittedBatch("second", (1,)))
        assert [batch.id for batch in folder.batches] == ["first", "second"]

    def test_runs_are_found_while_folders_come_and_go(
        self, local: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that is gone before it is looked into holds nothing, drafts are none, and links are followed."""
        export = local.export_folder()
        for place in (tmp_path / "elsewhere", tmp_path / "exports" / ".draft-1"):
            RunFolder(place).put(RUN, b"content")
        local.put(RUN, b"content")
        (tmp_path / "exports" / "linked").symlink_to(tmp_path / "elsewhere")
        names = LocalDisk.names
        monkeypatch.setattr(LocalDisk, "names", lambda self, folder: [*names(self, folder), "gone"])
        assert [run.name for run in export.unfinished_runs()] == ["linked", "run"]

    def test_what_is_below(self, folder: RunFolder) -> None:
        """Folders are found with the names in each of them, and nothing else."""
        for name in (f"two-2/{RUN}", f"two/{RUN}", f"two/{PLAN}", "two/answers/x/y", f"one [a*]/{PLAN}", "x"):
            folder.put(name, b"content")
        assert list(folder.names_below().items()) == [
            ("one [a*]", {PLAN}),
            ("two", {RUN, PLAN, "answers"}),
            ("two-2", {RUN}),
        ]
        assert folder.export_folder().run_named("nowhere").names_below() == {}

    def test_a_file_appears_only_once_it_is_whole(self, folder: RunFolder) -> None:
        """While a file is being written, the old content stays under its name."""
        folder.put(PLAN, b"old")
        with folder.writing(PLAN) as draft:
            draft.write_bytes(b"half")
            assert folder.read(PLAN) == b"old"
            draft.write_bytes(b"whole")
        assert folder.read(PLAN) == b"whole"

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
    def test_a_failure_leaves_nothing(self, folder: RunFolder, error: type[BaseException]) -> None:
        """Whatever breaks off the writing, no half file and no draft is left, and old content stays."""
        folder.put(RUN, b"old")
        for name in (RUN, PLAN):
            with pytest.raises(error):
                _break_off(folder, name, error)
        assert folder.read(RUN) == b"old"
        assert not folder.exists(PLAN)
        assert _names(folder) == [RUN]

    def test_a_draft_that_was_never_written(self, folder: RunFolder) -> None:
        """Where nothing was written there is nothing to put in place, and that is told."""
        with pytest.raises(ConfigError, match=r"Cannot write run\.json"), folder.writing(RUN):
            pass
        assert not folder.exists(RUN)

    def test_only_the_owner_may_read(self, local: RunFolder, tmp_path: Path) -> None:
        """On a local disk files are 0600 and folders 0700, whatever the umask; existing folders stay."""
        tmp_path.chmod(0o755)
        with _umask(0):
            local.put(REPORT, b"{}")
            local.keep("chunk-1", [])
        modes = {
            path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
            for path in (tmp_path, *tmp_path.rglob("*"))
        }
        assert modes == {
            ".": 0o755,
            "exports": 0o700,
            "exports/run": 0o700,
            "exports/run/report.json": 0o600,
            "exports/run/answers": 0o700,
            f"exports/run/{local.answers()[0]}": 0o600,
        }

    def test_it_has_reached_the_disk_by_then(self, local: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file is flushed before it gets its name, and then its folder, and those above it that are new."""
        steps: list[str] = []
        flush, rename = os.fsync, os.replace

        def fsync(handle: int) -> None:
            """Note what is flushed."""
            steps.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
            flush(handle)

        def replace(draft: str, target: str) -> None:
            """Note what gets its name."""
            steps.append(f"name {Path(target).name}")
            rename(draft, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        local.put(REPORT, b"{}")
        above = Path(local.uri).parent.parent.name
        assert steps == [f"flush {above}", "flush exports", f"flush {REPORT}", f"name {REPORT}", "flush run"]

    def test_a_file_is_created_once(self, folder: RunFolder) -> None:
        """A file that must not be there yet is made by the first who asks; the next one changes nothing."""
        assert folder.create(RUN, b"first")
        assert not folder.create(RUN, b"second")
        assert folder.read(RUN) == b"first"
        assert _names(folder) == [RUN]

    @pytest.mark.parametrize("root", ["a file", "/proc/nowhere"])
    def test_a_place_that_cannot_be_written_to(self, tmp_path: Path, root: str) -> None:
        """An exports_root that cannot be written to is a ConfigError that says where, why and what to do."""
        (tmp_path / "a file").write_bytes(b"")
        folder = RunFolder(tmp_path / root / "run")
        with pytest.raises(ConfigError, match="or set exports_root to another place") as error:
            folder.put(RUN, b"")
        with pytest.raises(ConfigError, match=r"Cannot write run\.json"):
            folder.create(RUN, b"")
        with pytest.raises(ConfigError, match="Cannot write files"), folder.exclusive():
            pass
        assert folder.uri in str(error.value)
        assert "Cannot write run.json under exports_root" in str(error.value)

    def test_an_error_without_words(self, local: RunFolder) -> None:
        """Where the system gives no reason, the kind of the error stands in for it."""
        with pytest.raises(ConfigError, match=r"\(.*\): BlockingIOError\. Free space"), local.writing(RUN):
            raise BlockingIOError


class TestSweeping:
    """What killed processes leave."""

    def test_drafts_go(self, folder: RunFolder, tmp_path: Path) -> None:
        """Drafts are removed, in the folder and below it; files that are in their place stay."""
        folder.put(RUN, b"x")
        drafts = [tmp_path / "exports" / "run" / ".draft-a", tmp_path / "exports" / ".draft-b"]
        for draft in drafts:
            draft.mkdir(parents=True, exist_ok=True)
            (draft / PLAN).write_bytes(b"half")
        folder.export_folder().sweep()
        if not folder.uri.startswith("memory"):
            assert not any(draft.exists() for draft in drafts)
        assert folder.read(RUN) == b"x"


class TestAnswers:
    """The answers that are kept until the run is settled."""

    def test_they_come_in_order_and_go(self, folder: RunFolder) -> None:
        """Answers are listed by name; dropped, they are gone, and the other files stay."""
        assert folder.answers() == []
        for key in ("chunk-2", "batch-b", "chunk-1"):
            folder.put(f"answers/{key}.parquet", b"x")
        folder.put("answers/notes.txt", b"x")
        folder.put(REPORT, b"{}")
        assert folder.answers() == [f"answers/{key}.parquet" for key in ("batch-b", "chunk-1", "chunk-2")]
        folder.answer_log.drop()
        folder.answer_log.drop()
        assert folder.answers() == []
        assert folder.exists(REPORT)
        assert folder.exists("answers/notes.txt")


class TestRuns:
    """Which folder a run gets."""

    def test_a_run_that_is_made_again_gets_a_number(self, place: Path | UPath) -> None:
        """A folder in which a run has left its report is not used again."""
        export = ExportFolder(place.parent)
        names = []
        for _ in range(3):
            folder = export.run("manual__1")
            assert not folder.is_finished()
            folder.put(REPORT, b"")
            names.append(folder.name)
        assert names == ["manual__1", "manual__1-2", "manual__1-3"]

    @pytest.mark.parametrize("name", [PLAN, RUN])
    def test_a_run_that_is_not_settled_is_gone_on_with(self, place: Path | UPath, name: str) -> None:
        """As long as there is no report, every attempt at a run gets the same folder."""
        export = ExportFolder(place.parent)
        export.run("manual__1").put(REPORT, b"")
        export.run("manual__1").put(name, b"")
        again = export.run("manual__1")
        assert (again.name, again.is_planned()) == ("manual__1-2", name == RUN)

    def test_an_empty_folder_is_used(self, tmp_path: Path) -> None:
        """A folder in which nothing is yet is as good as none."""
        (tmp_path / "run").mkdir()
        assert ExportFolder(tmp_path).run("run").uri == str(tmp_path / "run")
        assert ExportFolder(tmp_path).runs() == []

    def test_all_runs_are_listed(self, place: Path | UPath) -> None:
        """Each folder that holds a plan or a report is a run; what else lies there is none."""
        export = ExportFolder(place.parent)
        assert export.runs() == []
        for run, name in {"c": REPORT, "a": PLAN, "b": RUN, "d": "notes.txt"}.items():
            RunFolder(place.parent / run).put(name, b"")
        export.put("ledger.parquet", b"")
        assert [folder.name for folder in export.runs()] == ["a", "b", "c"]
        assert all(folder.export_folder().uri == export.uri for folder in export.runs())

    def test_a_run_can_be_removed(self, place: Path | UPath) -> None:
        """A run goes with all that is in its folder; the others stay."""
        export = ExportFolder(place.parent)
        gone, stays = export.run("gone"), export.run("stays")
        for folder in (gone, stays):
            folder.put(RUN, b"")
            folder.keep("chunk-1", [])
            folder.answer_log.flush()
        export.remove_run(gone)
        assert [folder.name for folder in export.runs()] == ["stays"]
        assert gone.answers() == []
        assert stays.answer_log.answered() == {"chunk-1"}

    def test_the_oldest_are_tidied_away(self, place: Path | UPath) -> None:
        """So many runs that are over are kept, those that ended last; what is not over stays."""
        export = ExportFolder(place.parent)
        for name, day in {"a": 3, "b": 1, "c": 4, "d": 2}.items():
            export.run(name).put(REPORT, b'{"finished_at": "2026-01-0%dT00:00:00+00:00"}' % day)
        export.run("e").put(PLAN, b"")
        export.tidy(4)
        assert [run.name for run in export.runs()] == ["a", "b", "c", "d", "e"]
        export.tidy(2)
        assert [run.name for run in export.runs()] == ["a", "c", "e"]

    @pytest.mark.parametrize("content", [b"", b"damaged", b'{"format": 99, "finished_at": 1}', b"{}"])
    def test_what_cannot_be_read_is_tidied_away_too(
        self, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A report that cannot be read counts by the time at which it was written, and a warning names it."""
        export = ExportFolder(tmp_path)
        for name, day in {"a": 3, "b": 1}.items():
            export.run(name).put(REPORT, b'{"finished_at": "2026-01-0%dT00:00:00+00:00"}' % day)
        export.run("odd").put(REPORT, content)
        os.utime(tmp_path / "odd" / REPORT, (1767312000, 1767312000))
        assert export.runs()[2].ending([REPORT]).finished_at == "2026-01-02T00:00:00+00:00"
        export.tidy(1)
        assert [run.name for run in export.runs()] == ["a"]
        assert f"{tmp_path}/odd/{REPORT} " in caplog.messages[-1]

    def test_reports_are_not_read_without_need(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As long as there are no more runs than are kept, none of them is looked into."""
        export = ExportFolder(tmp_path)
        for name in "abc":
            export.run(name).put(REPORT, b"damaged")
        export.tidy(3)
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (PermissionError(13, "Permission denied"), "PermissionError: Permission denied"),
            (OSError("no words of the system"), "OSError"),
        ],
        ids=["with words", "without"],
    )
    def test_a_folder_that_cannot_be_removed(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        error: OSError,
        said: str,
    ) -> None:
        """The log names the folder and the kind of error, and that is no reason to stop."""

        def refuse(storage: LocalDisk, folder: Path) -> None:
            raise error

        monkeypatch.setattr(LocalDisk, "remove_folder", refuse)
        ExportFolder(tmp_path).remove_run(ExportFolder(tmp_path).run("a"))
        assert caplog.messages == [
            f"The folder {tmp_path}/a could not be removed ({said}). The next run tries it again"
        ]

    def test_what_keeps_a_folder_there_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A folder that only leads to another place stays, with what is there, and the log says so; others go."""
        elsewhere = tmp_path / "elsewhere"
        export = ExportFolder(tmp_path / "export")
        done = b'{"finished_at": "2026-01-01T00:00:00+00:00"}'
        RunFolder(elsewhere).put(REPORT, done)
        export.run("b").put(REPORT, done)
        (tmp_path / "export" / "a").symlink_to(elsewhere)
        export.tidy(0)
        assert caplog.messages == [
            f"The folder {export.uri}/a could not be removed (OSError). The next run tries it again"
        ]
        assert [run.name for run in export.runs()] == ["a"]
        assert (elsewhere / REPORT).exists()

    def test_a_run_can_be_set_aside(self, place: Path | UPath) -> None:
        """A run that is given up is over, says why in place of its report, and goes in its turn."""
        export = ExportFolder(place.parent)
        run = export.run("manual__1")
        run.put(RUN, b"damaged")
        run.set_aside(f"{run.uri}/{RUN}", "is damaged")
        assert run.is_finished()
        assert export.has_finished("manual__1")
        assert export.run("manual__1").name == "manual__1-2"
        with pytest.raises(UnreadableFile, match=r"manual__1/run\.json is damaged\. Remove the folder"):
            run.report(dict)
        assert run.ending(run.names()).finished_at > "2026"
        export.tidy(0)
        assert export.runs() == []

    def test_the_uri_leads_back(self, folder: RunFolder) -> None:
        """Whoever has the URI finds the run."""
        folder.put(RUN, b"x")
        assert RunFolder(UPath(folder.uri)).read(RUN) == b"x"


def _break_off(folder: RunFolder, name: str, error: type[BaseException]) -> None:
    with folder.writing(name) as draft:
        draft.write_bytes(b"half")
        raise error


def _names(folder: RunFolder) -> list[str]:
    return [entry.name for entry in UPath(folder.uri).iterdir()]


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_note_of_a_watch_keeps_how_far_batches_ever_were(tmp_path: Path) -> None:
    """Whoever looks next knows of counters that went down, and since when the batches are looked at."""
    watch = BatchWatch(["a"], stall_timeout=60, now=100)
    watch.note(Batch("a", "started", 10, 5), now=110)
    watch.note(Batch("a", "started", 10, 3), now=120)
    note = RunFolder(tmp_path).watch_note
    note.put(watch.record())
    another = BatchWatch(["a"], stall_timeout=60, now=130, record=note.read())
    another.note(Batch("a", "started", 10, 4), now=140)
    assert another.stalled(now=170)
    assert another.stalled(now=100 + LONGEST_WAIT)
    assert another.record()["began_at"] == 100
