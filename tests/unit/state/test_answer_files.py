"""The answers of a run on disk: appended, rotated, torn, damaged, old, and on an object storage."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from upath import UPath

from airflow_mailchimp_export.errors import ConfigError, NewerFormat
from airflow_mailchimp_export.model import Effect, Outcome, Reason
from airflow_mailchimp_export.state.answer_files import FILE_SECONDS
from airflow_mailchimp_export.state.answers import AnswerLog, chunk_key
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.storage import Appender
from tests.kit.clock import FakeClock

ADA, BO, CYD = "ada@brieftaube.eu", "bo@brieftaube.eu", "cyd@brieftaube.eu"


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """The folder of a run, on the local disk and on another storage."""
    places = {"local": tmp_path / "run", "memory": UPath(f"memory://{uuid4().hex}/run")}
    return Folder(places[request.param])


@pytest.fixture
def local(tmp_path: Path) -> Folder:
    """The folder of a run on the local disk."""
    return Folder(tmp_path / "run")


def created(*emails: str) -> Sequence[tuple[None, list[Outcome]]]:
    """What Mailchimp answers for people who joined."""
    return [(None, [Outcome(email, Effect.CREATED, "subscribed") for email in emails])]


def emails_in(folder: Folder) -> list[str]:
    """Who is named by the answers, as another process finds them."""
    emails: list[str] = AnswerLog(folder).reading().read_all()["email"].to_pylist()
    return sorted(emails)


def is_about(email: str) -> Callable[[pa.RecordBatch], pa.Array]:
    """Say which rows name somebody."""
    return lambda batch: pc.equal(batch.column("email"), email)


class TestKeeping:
    """What is kept, and when it is there."""

    def test_on_a_local_disk_it_is_there_at_once(self, local: Folder) -> None:
        """Whoever kills the process when an answer is kept finds it, without anything being closed."""
        log = AnswerLog(local)
        log.keep(chunk_key(0), created(ADA))
        assert emails_in(local) == [ADA]
        log.keep(chunk_key(1), created(BO))
        assert emails_in(local) == [ADA, BO]
        assert AnswerLog(local).answered() == {chunk_key(0), chunk_key(1)}

    def test_elsewhere_it_is_there_with_its_object(self) -> None:
        """On an object storage answers wait in memory until their object is written; the run knows them already."""
        folder = Folder(UPath(f"memory://{uuid4().hex}/run"))
        log = AnswerLog(folder)
        log.keep(chunk_key(0), created(ADA))
        assert (log.answered(), log.names()) == ({chunk_key(0)}, [])
        log.flush()
        assert emails_in(folder) == [ADA]

    def test_refused_chunks_are_remembered(self, folder: Folder) -> None:
        """The chunks that batches could not deliver are known to this process and to the next."""
        log = AnswerLog(folder)
        log.keep("batch-a", created(ADA), refused=[3, 1])
        log.keep("batch-b", [], refused=[8])
        log.flush()
        assert log.refused_chunks() == AnswerLog(folder).refused_chunks() == {1, 3, 8}

    def test_what_another_process_kept_is_seen(self, local: Folder) -> None:
        """Answers that come from elsewhere meanwhile are found, each file once."""
        log, other = AnswerLog(local), AnswerLog(local)
        log.keep(chunk_key(0), created(ADA))
        assert log.answered() == {chunk_key(0)}
        other.keep(chunk_key(1), created(BO))
        assert log.answered() == {chunk_key(0), chunk_key(1)}

    def test_an_error_on_the_way_writes_what_is_there(self, folder: Folder) -> None:
        """Whatever breaks off a delivery, the answers until then are written."""
        log = AnswerLog(folder)
        with pytest.raises(KeyboardInterrupt):
            broken_off(log, KeyboardInterrupt())
        assert emails_in(folder) == [ADA]

    def test_the_first_error_is_the_one_that_counts(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where the answers cannot be written after an error, that is a warning, and the error goes on."""
        folder = Unwritable(UPath(f"memory://{uuid4().hex}/run"))
        log = AnswerLog(folder)
        with pytest.raises(KeyError, match="first"):
            broken_off(log, KeyError("first"))
        assert caplog.messages[-1].startswith("Cannot write answers under exports_root")


class Unwritable(Folder):
    """A folder on a storage that takes no object."""

    def appender(self, name: str) -> Appender:
        """Take what is added, and fail to write it."""
        return Full()


class Full:
    """A file for which there is no room."""

    def append(self, record: bytes) -> None:
        """Take it."""

    def close(self) -> None:
        """Fail."""
        raise OSError(28, "No space left on device")


def broken_off(log: AnswerLog, error: BaseException) -> None:
    """Keep an answer, and fail."""
    with log.recording():
        log.keep(chunk_key(0), created(ADA))
        raise error


class TestFiles:
    """How many files there are."""

    def test_a_million_people_are_ten_objects(self) -> None:
        """The answers to the 2,000 chunks of a million people are ten objects on an object storage."""
        folder = Folder(UPath(f"memory://{uuid4().hex}/run"))
        log = AnswerLog(folder, now=FakeClock())
        chunk = created(*(f"p{number}@brieftaube.eu" for number in range(500)))
        with log.recording():
            for number in range(2000):
                log.keep(chunk_key(number), chunk)
        assert len(log.names()) == 10
        assert len(AnswerLog(folder).answered()) == 2000

    def test_an_object_is_written_after_some_time(self) -> None:
        """However few answers come, an object is written with the first one that comes after half a minute."""
        clock = FakeClock()
        log = AnswerLog(Folder(UPath(f"memory://{uuid4().hex}/run")), now=clock)
        log.keep(chunk_key(0), created(ADA))
        clock.now += FILE_SECONDS - 1
        log.keep(chunk_key(1), created(BO))
        assert log.names() == []
        clock.now += 1
        log.keep(chunk_key(2), created(CYD))
        assert len(log.names()) == 1

    def test_a_file_is_not_too_large(self, local: Folder) -> None:
        """Where answers are long, a file has fewer of them."""
        log = AnswerLog(local, now=FakeClock())
        for number in range(6):
            noise = [
                Outcome(f"{ADA}{index}", Effect.REJECTED, words=os.urandom(1000).hex())
                for index in range(2000)
            ]
            log.keep(chunk_key(number), [(None, noise)])
        assert len(log.names()) > 1

    def test_they_go_when_they_are_accounted_for(self, folder: Folder) -> None:
        """Dropped answers are gone, also those that were not written yet, and others may follow."""
        log = AnswerLog(folder)
        log.keep(chunk_key(0), created(ADA), refused=[1])
        log.drop()
        assert (log.names(), log.answered(), log.refused_chunks()) == ([], set(), set())
        log.keep(chunk_key(1), created(BO))
        log.flush()
        assert emails_in(folder) == [BO]


class TestTornFiles:
    """What a killed process leaves."""

    def test_half_a_record_is_none(self, local: Folder, caplog: pytest.LogCaptureFixture) -> None:
        """Torn at any byte of the last record, a file holds those before it; a warning names it."""
        log = AnswerLog(local)
        log.keep(chunk_key(0), created(ADA))
        (name,) = log.names()
        before = len(local.read(name))
        log.keep(chunk_key(1), created(BO))
        log.flush()
        whole, path = local.read(name), Path(local.uri) / name
        for end in range(before + 1, len(whole)):
            caplog.clear()
            path.write_bytes(whole[:end])
            assert emails_in(local) == [ADA]
            assert caplog.messages == [
                f"{local.uri}/{name} is cut short (records that can be read: 1): "
                "what else it held counts as unanswered"
            ]
        assert AnswerLog(local).answered() == {chunk_key(0)}
        local.put(name, whole[:before])
        assert emails_in(local) == [ADA]

    def test_half_a_beginning_is_nothing(self, local: Folder) -> None:
        """Torn before the first record, a file holds nothing."""
        log = AnswerLog(local)
        log.keep(chunk_key(0), created(ADA))
        (name,) = log.names()
        whole = local.read(name)
        for end in range(20):
            local.put(name, whole[:end])
            assert AnswerLog(local).answered() == set()

    def test_a_byte_that_changed_is_found(self, local: Folder) -> None:
        """Whichever byte of a record is another one, that record and those behind it are not believed."""
        log = AnswerLog(local)
        log.keep(chunk_key(0), created(ADA))
        (name,) = log.names()
        before = len(local.read(name))
        log.keep(chunk_key(1), created(BO))
        log.flush()
        whole, path = local.read(name), Path(local.uri) / name
        for at in range(before, len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
            assert emails_in(local) == [ADA]

    @pytest.mark.parametrize("content", [b"\0" * 500, b"something else", b"answers\x00" + b"\0" * 8])
    def test_what_is_none_is_nothing(
        self, folder: Folder, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file that holds something else altogether is named in a warning, and the others are read."""
        log = AnswerLog(folder)
        log.keep(chunk_key(0), created(ADA))
        log.flush()
        folder.put("answers/other.answers", content)
        assert emails_in(folder) == [ADA]
        assert "other.answers is damaged (records that can be read: 0)" in caplog.text

    def test_a_newer_file_is_an_error(self, folder: Folder) -> None:
        """A file of a format that is not known yet is no damage: the error says what to do."""
        folder.put("answers/x.answers", b"answers\x02whatever")
        with pytest.raises(
            NewerFormat, match=r"x\.answers was written by a newer release .*format 2; .* up to 1"
        ):
            AnswerLog(folder).answered()

    def test_a_full_disk_loses_nothing_that_was_kept(self, local: Folder) -> None:
        """An answer that cannot be written is an error, leaves no half record, and the next one is read again."""
        log = AnswerLog(local)
        log.keep(chunk_key(0), created(ADA))
        (name,) = log.names()
        size = len(local.read(name))
        with (
            _largest_file(size + 100),
            pytest.raises(ConfigError, match="Cannot write answers under exports_root"),
        ):
            log.keep(chunk_key(1), created(BO))
        assert len(local.read(name)) == size
        log.keep(chunk_key(2), created(CYD))
        assert emails_in(local) == [ADA, CYD]
        assert log.answered() == {chunk_key(0), chunk_key(2)}


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


class TestOldFiles:
    """Those of release 0.1.0: a Parquet file for each chunk or batch, with the key as its name."""

    ROWS = pa.table(
        {
            **{"email": [ADA, BO], "effect": ["created", "rejected"], "status": ["subscribed", ""]},
            **{"reason": [None, "refused"], "field": ["", ""], "words": ["", "No."]},
            "chunk": pa.array([None, 7], pa.int32()),
        }
    )

    def write(self, folder: Folder, key: str, rows: pa.Table = ROWS, **about: str) -> None:
        """Write one."""
        with (
            folder.writing(f"answers/{key}.parquet") as draft,
            pq.ParquetWriter(draft, rows.schema) as writer,
        ):
            writer.write_table(rows)
            writer.add_key_value_metadata(about)

    def test_they_are_read(self, folder: Folder) -> None:
        """Their rows, their keys, and the chunks that their batches could not deliver are known."""
        for key in ("chunk-0000003", "spared-0000001", "renames"):
            self.write(folder, key)
        self.write(folder, "batch-x", self.ROWS.slice(0, 0), refused_chunks="[4,5]")
        log = AnswerLog(folder)
        assert log.answered() == {"chunk-0000003", "spared-0000001", "renames", "batch-x"}
        assert log.refused_chunks() == {4, 5}
        assert log.reading().read_all().to_pylist() == self.ROWS.to_pylist() * 3

    def test_they_stand_beside_new_ones(self, folder: Folder) -> None:
        """A run that goes on adds to what the release before kept, and drops both together."""
        self.write(folder, "chunk-0000003")
        log = AnswerLog(folder)
        log.keep(chunk_key(4), created(CYD))
        log.flush()
        assert emails_in(folder) == [ADA, BO, CYD]
        log.drop()
        assert log.names() == []

    @pytest.mark.parametrize(
        "rows",
        [
            ROWS.drop_columns(["chunk"]),
            ROWS.set_column(1, "effect", pa.array(["created", "poisoned"])),
            ROWS.set_column(1, "effect", pa.array(["created", None])),
            ROWS.set_column(6, "chunk", pa.array(["a", "b"])),
        ],
        ids=["a column less", "an unknown effect", "no effect", "another type"],
    )
    def test_poisoned_ones_are_not_believed(
        self, folder: Folder, rows: pa.Table, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A Parquet file that holds no answers is named in a warning, and its people have no answer."""
        self.write(folder, "chunk-0000003", rows)
        self.write(folder, "chunk-0000004", self.ROWS.slice(0, 1))
        assert emails_in(folder) == [ADA]
        assert "chunk-0000003.parquet is damaged" in caplog.text

    @pytest.mark.parametrize("keep", [0, 4, -1, -60])
    def test_damaged_ones_are_not_believed(self, folder: Folder, keep: int) -> None:
        """Cut short anywhere, a file holds nothing."""
        self.write(folder, "chunk-0000003")
        name = "answers/chunk-0000003.parquet"
        folder.put(name, folder.read(name)[:keep])
        assert AnswerLog(folder).answered() == set()


class TestStrikingOut:
    """Somebody is removed from the answers."""

    def test_only_they_go(self, folder: Folder) -> None:
        """Their rows go, file by file; everything else stays, also what was answered without them."""
        first, second = AnswerLog(folder), AnswerLog(folder)
        first.keep(chunk_key(0), created(ADA, BO), refused=[9])
        first.keep(chunk_key(1), created(ADA))
        second.keep(chunk_key(2), created(CYD))
        first.flush()
        second.flush()
        log = AnswerLog(folder)
        ((name, rows),) = log.strike_out(is_about(ADA))
        assert rows == 2
        assert name in log.names()
        assert emails_in(folder) == [BO, CYD]
        assert AnswerLog(folder).answered() == {chunk_key(0), chunk_key(1), chunk_key(2)}
        assert AnswerLog(folder).refused_chunks() == {9}
        assert list(log.strike_out(is_about(ADA))) == []

    def test_what_cannot_be_read_goes_too(self, local: Folder) -> None:
        """Half a record may name anybody, so nothing of it is left in the file."""
        log = AnswerLog(local)
        log.keep(chunk_key(0), created(BO))
        (name,) = log.names()
        whole = local.read(name)
        local.put(name, whole + b"\x99" + ADA.encode())
        assert list(AnswerLog(local).strike_out(is_about(ADA))) == []
        assert local.read(name) == whole

    def test_old_files_become_new_ones(self, folder: Folder) -> None:
        """A file of release 0.1.0 that names them is written as this release writes it."""
        TestOldFiles().write(folder, "chunk-0000003", refused_chunks="[4]")
        log = AnswerLog(folder)
        assert list(log.strike_out(is_about(ADA))) == [("answers/chunk-0000003.parquet", 1)]
        assert log.names() == ["answers/chunk-0000003.answers"]
        assert log.reading().read_all().to_pylist() == TestOldFiles.ROWS.to_pylist()[1:]
        assert AnswerLog(folder).answered() == {"chunk-0000003"}
        assert AnswerLog(folder).refused_chunks() == {4}


def test_all_of_an_outcome_is_kept(folder: Folder) -> None:
    """Every part of an outcome comes back, in every script, with the chunk by which people leave."""
    outcome = Outcome("zoë@brieftaube.eu", Effect.REJECTED, "", Reason.INVALID_FIELD, "AGE", "名前 \x00 🙂")
    log = AnswerLog(folder)
    assert log.keep("batch-a", iter([(None, [outcome]), (7, [Outcome(ADA, Effect.REMOVED)])])) == 2
    assert [tuple(row.values()) for row in log.reading().read_all().to_pylist()] == [
        ("zoë@brieftaube.eu", "rejected", "", "invalid_field", "AGE", "名前 \x00 🙂", None),
        (ADA, "removed", "", None, "", "", 7),
    ]


def test_threads_do_not_get_in_each_others_way(local: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """From eight threads at once, each answer is kept once and whole."""
    from concurrent.futures import ThreadPoolExecutor

    caplog.set_level(logging.INFO)
    log = AnswerLog(local)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.keep(chunk_key(number), created(f"p{number}")), range(400)))
    assert len(log.answered()) == len(emails_in(local)) == 400
    assert caplog.messages == []
