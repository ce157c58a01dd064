"""Exports whose segments and whose files are on an object store, reached through an Airflow connection."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.errors import ConfigError, ExportBusy
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.forget import forget
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK, Lock
from airflow_mailchimp_export.state.run import ExportFolder
from scripts.sandbox_service import Sandbox
from tests.integration.stores.servers import BUCKET, Store
from tests.kit.life import Life
from tests.kit.mortal import Killed, MortalClient, kill
from tests.kit.people import people

ODD = "a b+c ü%20 'x'&=,;@~"


def csv(*emails: str) -> bytes:
    """A segment's file."""
    return "\n".join(["email", *emails, ""]).encode()


def upload(store: Store, uri: str, content: bytes) -> None:
    """Put an object into a store, past the package."""
    key = uri.partition("@")[2]
    store.filesystem().pipe_file(key, content)


class TestSegments:
    """Files that an export reads."""

    def test_people_of_1500_objects_are_all_exported(self, store: Store, life: Life) -> None:
        """A listing takes more than one request, and nobody of its later pages is lost."""
        root = store.fresh_uri()
        fs = store.filesystem()
        key = root.partition("@")[2]
        with ThreadPoolExecutor(16) as pool:
            parts = range(1500)
            list(pool.map(lambda n: fs.pipe_file(f"{key}/part-{n:05}.csv", csv(f"p{n}@mail.eu")), parts))
        report = life.run({"VIP": f"{root}/"})
        assert (report.verdict, report.counts.rows_read, report.counts.created) == ("success", 1500, 1500)

    def test_folder_markers_are_no_files(self, store: Store, life: Life) -> None:
        """Empty objects that consoles put where folders are to be hold nobody, and do no harm."""
        root = store.fresh_uri()
        fs, key = store.filesystem(), root.partition("@")[2]
        for marker in (f"{key}/", f"{key}/day=1/"):
            _put_marker(fs, marker)
        upload(store, f"{root}/day=1/a.csv", csv("ada@mail.eu"))
        upload(store, f"{root}/day=2/a.csv", csv("eve@mail.eu"))
        report = life.run({"VIP": f"{root}/"})
        assert (report.verdict, set(life.audience())) == ("success", {"ada@mail.eu", "eve@mail.eu"})

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_odd_names_are_found(self, store: Store, life: Life, what: str) -> None:
        """Blanks, plus signs, per cent signs, letters of other scripts: a name is taken as it is."""
        root = store.fresh_uri()
        upload(store, f"{root}/{ODD}/{ODD}.csv", csv("ada@mail.eu"))
        uri = f"{root}/{ODD}/{ODD}.csv" if what == "file" else f"{root}/{ODD}/"
        report = life.run({"VIP": uri})
        assert (report.verdict, set(life.audience())) == ("success", {"ada@mail.eu"})

    def test_a_glob_with_the_connection_beside_it(self, store: Store, life: Life) -> None:
        """The connection may stand in the segment, and wildcards in the address."""
        root = store.fresh_uri()
        upload(store, f"{root}/day=1/a.csv", csv("ada@mail.eu"))
        upload(store, f"{root}/day=2/a.csv", csv("eve@mail.eu"))
        bare = root.replace(f"{store.conn_id}@", "")
        life.run({"VIP": {"uri": f"{bare}/day=*/*.csv", "conn_id": store.conn_id}})
        assert set(life.audience()) == {"ada@mail.eu", "eve@mail.eu"}

    def test_every_scheme_of_the_store(self, store: Store, life: Life) -> None:
        """Other spellings of the scheme lead to the same objects."""
        root = store.fresh_uri()
        upload(store, f"{root}/a.csv", csv("ada@mail.eu"))
        reports = [
            life.run({"VIP": root.replace(f"{store.kind.schemes[0]}://", f"{scheme}://")})
            for scheme in store.kind.schemes
        ]
        assert [report.counts.rows_read for report in reports] == [1] * len(store.kind.schemes)


class TestRuns:
    """Runs that keep their files on the store."""

    def test_the_second_run_knows_of_the_first(self, store: Store, life: Life) -> None:
        """Who left the file is removed, who came is added, and who stayed is left alone."""
        root = store.fresh_uri()
        upload(store, f"{root}/a.csv", csv("ada@mail.eu", "eve@mail.eu"))
        first = life.run({"VIP": f"{root}/"})
        upload(store, f"{root}/a.csv", csv("eve@mail.eu", "kim@mail.eu"))
        second = life.run({"VIP": f"{root}/"}, max_removal_ratio=1)
        assert (first.verdict, second.verdict) == ("success", "success")
        assert {email: tags for email, (_, tags) in life.audience().items()} == {
            "ada@mail.eu": set(),
            "eve@mail.eu": {"VIP"},
            "kim@mail.eu": {"VIP"},
        }

    def test_a_killed_run_is_gone_on_with(self, store: Store, life: Life) -> None:
        """Wherever the process dies, the next attempt sends the rest, and everybody is accounted for."""
        root = store.fresh_uri()
        emails = [f"p{n}@mail.eu" for n in range(1200)]
        upload(store, f"{root}/a.csv", csv(*emails))
        for dies_at in itertools.count():
            client = MortalClient(life.sandbox, dies_at=dies_at, applied=dies_at % 2 == 0)
            try:
                submission, folder = life.submit({"VIP": f"{root}/"}, name="run", client=client)
            except Killed:
                continue
            break
        report = submission.report or life.finalize(folder)
        assert dies_at > 3
        assert (report.verdict, set(life.audience()), set(life.ledger())) == (
            "success",
            set(emails),
            set(emails),
        )

    def test_old_runs_are_tidied_away(self, store: Store, life: Life) -> None:
        """The folders of runs beyond those to be kept are removed with all that is in them, and no others."""
        upload(store, f"{life.folder.uri}/notes.txt", b"")
        root = store.fresh_uri()
        upload(store, f"{root}/a.csv", csv("ada@mail.eu"))
        for _ in range(3):
            life.run({"VIP": f"{root}/"}, keep_runs=2)
        assert life.folder.names() == [LEDGER, "notes.txt", "run2", "run3", "tags.json"]

    def test_the_operator_takes_both_from_the_store(self, store: Store, mailchimp: Sandbox) -> None:
        """An operator with a store as its exports_root exports a segment of the store, twice."""
        from tests.airflow.runs import context_of, one_task

        root = store.fresh_uri()
        upload(store, f"{root}/seg/a.csv", b"email,first_name,last_name\nada@mail.eu,Ada,L\n")
        task = one_task(
            segments={"VIP": f"{root}/seg/"}, exports_root=f"{root}/exports", export_name="odd"
        ).task_dict["export"]
        results = [task.execute(context_of(task)) for _ in range(2)]
        counts = [_report(result["run_uri"])["counts"] for result in results]
        assert [(each["created"], each["unchanged"]) for each in counts] == [(1, 0), (0, 1)]


class TestForgetting:
    """A person who wants to be forgotten."""

    def test_markers_hide_nobody(self, store: Store, life: Life) -> None:
        """Whoever is named in files beside a folder's marker is found and removed."""
        life.run({"VIP": people("ada@mail.eu", "eve@mail.eu")})
        root = life.folder.uri.rpartition("/")[0]
        for folder in (root, f"{root}/life", f"{root}/life/run1"):
            upload(store, f"{folder}/", b"")
        found = list(forget("ada@mail.eu", storage_path(root)))
        assert len(found) > 1
        assert set(life.ledger()) == {"eve@mail.eu"}


class TestAtOnce:
    """Runs that start in the same instant."""

    @pytest.mark.parametrize("before", ["nothing", "an expired lock"])
    def test_one_of_eight_gets_the_lock(self, store: Store, before: str) -> None:
        """Of those who ask together exactly one is let in, and the others are told which; also after a killed run."""
        path = storage_path(store.fresh_uri()) / "life"
        if before == "an expired lock":
            upload(store, f"{path}/{LOCK}", b'{"run": "dead", "until": 1.0}')
        start, done = threading.Barrier(8), threading.Barrier(8)

        def take(number: int) -> str:
            lock = Lock(ExportFolder(path), f"run{number}")
            start.wait()
            try:
                with lock.held():
                    done.wait()
                    return "held"
            except ExportBusy:
                done.wait()
                return "busy"

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(take, range(8))) == ["busy"] * 7 + ["held"]

    def test_one_of_eight_creates_an_object(self, store: Store) -> None:
        """Of those who create an object of one name together, one is told that it did, and its content is there."""
        folder = Folder(storage_path(store.fresh_uri()))
        start = threading.Barrier(8)

        def create(number: int) -> bool:
            start.wait()
            return folder.create("lock", b"%d" % number)

        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(create, range(8)))
        assert sorted(created) == [False] * 7 + [True]
        assert folder.read("lock") == b"%d" % created.index(True)


class TestFiles:
    """Files that runs keep."""

    def test_an_interrupted_copy_leaves_the_former_file(self, store: Store) -> None:
        """A file that a task was writing when it was interrupted is as it was, to the last byte."""
        folder = Folder(storage_path(store.fresh_uri()))
        folder.put(LEDGER, b"1" * 44_166)

        def interrupted(draft: Path) -> None:
            draft.write_bytes(b"2" * 1_000)
            kill()

        with pytest.raises(Killed):
            _write(folder, interrupted)
        assert folder.read(LEDGER) == b"1" * 44_166

    def test_a_file_of_many_parts(self, store: Store) -> None:
        """What is too large for one request arrives as it was sent, and can be read again in part or whole."""
        folder = Folder(storage_path(store.fresh_uri()))
        content = bytes(range(256)) * 4096 * 120
        folder.put(LEDGER, content)
        with folder.reading(LEDGER) as path:
            assert path.read_bytes() == content

    def test_names_with_wildcards_mean_themselves(self, store: Store) -> None:
        """A folder called like a pattern is written, read and removed, and no other with it."""
        root = storage_path(store.fresh_uri())
        odd, beside = ExportFolder(root / "a[bc]*"), ExportFolder(root / "abc")
        for export in (odd, beside):
            export.run("run1").put("run.json", b"{}")
            export.put(LOCK, b"{}")
        odd.remove(LOCK)
        odd.remove_run(odd.run("run1"))
        assert (odd.names(), beside.names()) == ([], [LOCK, "run1"])

    def test_markers_hide_no_files(self, store: Store) -> None:
        """An empty object for a folder itself, as some tools write them, is no file, and others are found beside it."""
        folder = ExportFolder(storage_path(store.fresh_uri()))
        key, fs = folder.uri.partition("@")[2], store.filesystem()
        for marker in (f"{key}/", f"{key}/run1/"):
            fs.pipe_file(marker, b"")
        folder.put(LEDGER, b"")
        folder.run("run1").put("run.json", b"{}")
        assert folder.names() == [LEDGER, "run1"]
        assert folder.names("run1") == ["run.json"]
        assert [run.name for run in folder.runs()] == ["run1"]

    def test_when_a_file_was_written(self, store: Store) -> None:
        """Each store says when."""
        folder = Folder(storage_path(store.fresh_uri()))
        folder.put(LOCK, b"{}")
        assert folder.written_at(LOCK) > "2026-01-01"

    def test_a_bucket_that_is_missing(self, store: Store) -> None:
        """Where nothing can be written, the set-up is wrong."""
        uri = store.uri("exports").replace(f"@{BUCKET}", "@missing-bucket")
        with pytest.raises(ConfigError, match=r"Cannot write ledger\.parquet under exports_root"):
            Folder(storage_path(uri)).put(LEDGER, b"")


def _write(folder: Folder, how: Callable[[Path], None]) -> None:
    with folder.writing(LEDGER) as draft:
        how(draft)


def _put_marker(fs: Any, key: str) -> None:
    """Put an empty object with a slash at its end, which the file systems would not write of themselves."""
    fs.pipe_file(key, b"")


def _report(run_uri: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(storage_path(run_uri).joinpath("report.json").read_bytes())
    return report
