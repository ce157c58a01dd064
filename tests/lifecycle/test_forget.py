"""A person is removed from everything that exports keep."""

from __future__ import annotations

import csv
import io
import runpy
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from airflow_mailchimp_export import forget as program
from airflow_mailchimp_export.accounting.accounts import REJECT_COLUMNS, escape_formula
from airflow_mailchimp_export.errors import ConfigError, ExportBusy
from airflow_mailchimp_export.forget import forget, main
from airflow_mailchimp_export.model import Effect, Outcome
from airflow_mailchimp_export.state import answers, plan_file
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.ledger import LEDGER, SET_ASIDE, read_mark, set_aside
from airflow_mailchimp_export.state.lock import LOCK, Lock
from airflow_mailchimp_export.state.run import OUTCOMES, PLAN, REJECTS, ExportFolder, RunFolder
from tests.kit.life import Life
from tests.kit.people import people
from tests.kit.sandbox import InProcessSandbox

ADA, BO, FAKE, ODD = "ada@brieftaube.eu", "bo@brieftaube.eu", "ada@example.com", "+ada@example.com"


OPTIONS = {"profile_id": "id", "max_removal_ratio": 1}


@pytest.fixture(scope="module")
def two_runs(in_process: InProcessSandbox, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Two runs of an export, of which the second renames and untags; to be copied."""
    in_process.reset()
    life = Life(in_process, ExportFolder(tmp_path_factory.mktemp("two_runs") / "life"), options=OPTIONS)
    life.run({"A": people(ADA, BO, FAKE, ODD, id=["1", "2", "3", "4"])})
    life.run({"A": people("new@brieftaube.eu", FAKE, id=["1", "3"])})
    return life


@pytest.fixture
def root(two_runs: Life, life: Life) -> Path:
    """The exports of the fixture ``life``, which has lived two runs; nobody of them is in the audience any more."""
    shutil.copytree(two_runs.folder.uri, life.folder.uri)
    life.options, life.runs = OPTIONS, two_runs.runs
    return Path(life.folder.uri).parent


def found_in(root: Path | UPath, address: str) -> dict[str, int]:
    """Forget somebody; return in how many rows each file named them, by the file's path under the root."""
    return {found.file.removeprefix(f"{root}/"): found.rows for found in forget(address, root)}


def texts(root: Path) -> dict[str, str]:
    """What all files under a root hold, as text."""
    return {path.relative_to(root).as_posix(): text_of(path) for path in root.rglob("*") if path.is_file()}


def text_of(path: Path) -> str:
    """What a file holds, as text."""
    if path.read_bytes().startswith(b"PAR1"):
        return str(pq.read_table(path).to_pylist())
    return path.read_text(encoding="utf-8-sig")


class TestFiles:
    """What is struck out."""

    def test_every_file_is_searched(self, life: Life, root: Path) -> None:
        """Plans, outcomes, rejects and the ledger lose the person's rows, and each file is named with their number."""
        assert found_in(root, BO) == {
            f"life/run1/{PLAN}": 1,
            f"life/run1/{OUTCOMES}": 1,
            f"life/run2/{PLAN}": 1,
            f"life/run2/{OUTCOMES}": 1,
        }
        assert not [name for name, text in texts(root).items() if BO in text]
        assert found_in(root, BO) == {}

    def test_nobody_else_is_touched(self, root: Path) -> None:
        """All other rows stay as they are, to the last value."""
        before = {path: pq.read_table(path) for path in root.rglob("*.parquet")}
        list(forget(BO, root))
        for path, table in before.items():
            others = [row for row in table.to_pylist() if BO not in (row["email"], row.get("new_email"))]
            assert pq.read_table(path).to_pylist() == others
            assert pq.read_table(path).schema == table.schema

    def test_a_changed_address_is_found_by_both(self, life: Life, root: Path) -> None:
        """Whoever was renamed is found in the plan by the old address and by the new one."""
        assert found_in(root, "new@brieftaube.eu") == {
            f"life/{LEDGER}": 1,
            f"life/run2/{PLAN}": 2,
            f"life/run2/{OUTCOMES}": 2,
        }
        assert found_in(root, ADA) == {
            f"life/run1/{PLAN}": 1,
            f"life/run1/{OUTCOMES}": 1,
            f"life/run2/{PLAN}": 1,
        }
        assert not [name for name, text in texts(root).items() if ADA in text or "new@brief" in text]

    def test_answers_of_a_run_that_is_not_finished(self, life: Life) -> None:
        """What Mailchimp answered for the person in a run that died is struck out too."""
        folder = RunFolder(Path(life.folder.uri) / "dead")
        outcomes = [Outcome(email, Effect.CREATED) for email in (ADA, BO)]
        folder.keep(answers.chunk_key(0), [(None, outcomes)])
        folder.answer_log.flush()
        folder.put("run.json", b"{}")
        (name,) = folder.answers()
        assert found_in(Path(life.folder.uri).parent, ADA) == {f"life/dead/{name}": 1}
        assert folder.answer_log.reading().read_all()["email"].to_pylist() == [BO]

    def test_drafts_of_killed_processes_go(self, life: Life, root: Path) -> None:
        """Half-written files that a killed process left behind are removed, whoever they name."""
        for folder in (root / "life", root / "life" / "run1", root / "life" / "run1" / "answers"):
            (folder / ".draft-x").mkdir(parents=True)
            (folder / ".draft-x" / PLAN).write_bytes(f"half {ADA}".encode())
        list(forget(BO, root))
        assert list(root.rglob(".draft-*")) == []

    def test_a_ledger_that_was_set_aside(self, life: Life, root: Path) -> None:
        """The old ledger that full=True has set aside is searched too."""
        set_aside(life.folder)
        assert found_in(root, FAKE)[f"life/{SET_ASIDE}"] == 1

    def test_files_under_other_names(self, life: Life, root: Path) -> None:
        """A ledger that somebody moved away by hand, and a copy of rejects, are searched under whatever name."""
        (root / "life" / "older" / "still").mkdir(parents=True)
        for name in ("ledger.parquet.before", "older/still/ledger"):
            (root / "life" / name).write_bytes(life.folder.read(LEDGER))
        (root / "life" / "for Bo.csv").write_bytes((root / "life" / "run1" / REJECTS).read_bytes())
        (root / "life" / "notes.txt").write_text("PARtly done")
        found = found_in(root, ODD)
        names = ("for Bo.csv", "ledger.parquet.before", "older/still/ledger", LEDGER)
        assert {name: found.get(f"life/{name}") for name in names} == dict.fromkeys(names, 1)
        assert not [name for name, text in texts(root).items() if ODD in text]

    def test_the_ledger_stays_a_ledger(self, life: Life, root: Path) -> None:
        """The ledger's mark survives, and the next run takes it up and sends the person as a new one."""
        mark = read_mark(life.folder)
        assert mark
        list(forget("new@brieftaube.eu", root))
        assert read_mark(life.folder) == mark
        life.put("new@brieftaube.eu")
        report = life.run({"A": people("new@brieftaube.eu", FAKE, id=["1", "3"])})
        assert (report.counts.updated, report.counts.rejected, report.counts.removed) == (1, 1, 0)
        again = read_mark(life.folder)
        assert again
        assert again.version == mark.version + 1

    def test_files_without_the_person_are_not_rewritten(self, root: Path) -> None:
        """Whoever is nowhere is found nowhere, and no file changes."""
        before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("*.*")}
        assert found_in(root, "stranger@brieftaube.eu") == {}
        after = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("*.*")}
        assert after == before

    def test_a_damaged_file_is_named(self, life: Life, root: Path) -> None:
        """From a file that cannot be read nobody can be struck out: the error has its name and the remedy."""
        life.folder.put(SET_ASIDE, b"PAR1 no more")
        with pytest.raises(
            ConfigError, match=r"set-aside\.parquet is damaged.* remove it, then do this again"
        ):
            list(forget(ADA, root))
        assert not life.folder.exists(LOCK)


class TestQuotes:
    """Rows of others that quote the address."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> RunFolder:
        """A run that is not finished."""
        return RunFolder(tmp_path / "exports" / "life" / "run1")

    def left(self, folder: RunFolder, rows: Iterable[Mapping[str, object]], address: str) -> list[int]:
        """Write rows that are numbered by their fingerprint, forget somebody, and return whose rows are left."""
        columns = {field.name: field.type for field in plan_file.SCHEMA}
        numbered = [{"email": BO, "fingerprint": number, **row} for number, row in enumerate(rows)]
        table = pa.table(
            {name: pa.array([row.get(name) for row in numbered], kind) for name, kind in columns.items()}
        )
        with folder.writing(PLAN) as draft:
            pq.write_table(table, draft)
        list(forget(address, Path(folder.uri).parent.parent))
        with folder.reading(PLAN) as path:
            numbers: list[int] = pq.read_table(path)["fingerprint"].to_pylist()
        return numbers

    def test_in_a_payload(self, folder: RunFolder) -> None:
        """What is sent of somebody else goes as a whole where a value quotes the address, in any spelling."""
        quoting = (
            "ada@mail.eu",
            "née; ADA@mail.eu!",
            "see\n<a\u200bda@mail.eu>.",
            'he said "ada@mail.eu"',
            "ada@mail.eu, bo",
        )
        other = (
            "nada@mail.eu",
            "x.ada@mail.eu",
            "ada@mail.eu.org",
            "ada@mail.europe",
            "Ada Mail",
            "zoë 'ada@mail.eu'x",
        )
        payloads = [
            orjson.dumps({"email_address": BO, "merge_fields": {"NOTE": note}}) for note in quoting + other
        ]
        payloads.append(orjson.dumps({"merge_fields": {"ADDRESS": {"addr1": "ada@mail.eu"}}}))
        payloads.append(orjson.dumps({"merge_fields": {}, "tags": ["ada@mail.eu"]}))
        left = self.left(folder, [{"payload": payload} for payload in payloads], "Ada@mail.eu")
        assert left == [5, 6, 7, 8, 9, 10, 12]

    def test_as_a_profile_id(self, folder: RunFolder) -> None:
        """Who is known by the address as their profile id goes, whatever their address is now."""
        ids = ["Ada@Mail.EU", "bo@mail.eu", "7", None]
        assert self.left(folder, [{"profile_id": one} for one in ids], "ada@mail.eu") == [1, 2, 3]

    def test_what_is_no_address_is_not_looked_for_in_texts(self, folder: RunFolder) -> None:
        """Rejected text without an at sign only counts where an address belongs."""
        payload = orjson.dumps({"merge_fields": {"FNAME": "Ada"}})
        rows = [{"email": "ada"}, {"profile_id": "ada"}, {"payload": payload}, {"new_email": "ADA "}]
        assert self.left(folder, rows, "Ada") == [1, 2]

    def test_segments_and_files_are_not_people(self, folder: RunFolder) -> None:
        """Where a segment or a file has the address as its name, the rows of its people stay."""
        rows = [{"tags": ["ada@mail.eu"]}, {"segments": ["ada@mail.eu"]}, {"source": "ada@mail.eu row 1"}]
        assert self.left(folder, rows, "ada@mail.eu") == [0, 1, 2]

    def test_in_an_answer(self, folder: RunFolder) -> None:
        """What Mailchimp said goes where it quotes the address, also of nobody in particular."""
        outcomes = [Outcome("", Effect.REJECTED, words=f"{ADA} looks fake"), Outcome(BO, Effect.CREATED)]
        folder.keep(answers.chunk_key(0), [(None, outcomes)])
        folder.answer_log.flush()
        (name,) = folder.answers()
        assert found_in(Path(folder.uri).parent.parent, ADA) == {f"life/run1/{name}": 1}


class TestAddresses:
    """Who is meant."""

    def test_text_that_is_no_unicode(self, root: Path) -> None:
        """Bytes of a command line that are no UTF-8 are no address."""
        with pytest.raises(ConfigError, match="That is no e-mail address"):
            list(forget(b"\xffada@mail.eu".decode(errors="surrogateescape"), root))

    def test_invisible_characters_make_no_difference(self, life: Life) -> None:
        """Who was exported with invisible characters, a Turkish dotted I or Greek capitals is found without them."""
        life.run({"A": people("\ufeffAL\u0130\u200b@brieftaube.eu", "ΝΙΚΟΣ@brieftaube.eu", BO)})
        root = Path(life.folder.uri).parent
        for address in ("a\u00adli@brieftaube.eu", "νικοΣ@brieftaube.eu"):
            assert set(found_in(root, address).values()) == {1}
        assert set(life.ledger()) == {BO}

    @pytest.mark.parametrize("given", [BO.upper(), f"  {BO}\n", BO.title()])
    def test_case_and_blanks_make_no_difference(self, root: Path, given: str) -> None:
        """The address is found however it is written."""
        assert sum(found_in(root, given).values()) > 0
        assert not [name for name, text in texts(root).items() if BO in text]

    @pytest.mark.parametrize("given", ["", "  ", "\u200b", "bo", "brieftaube.eu"])
    def test_what_is_no_address(self, root: Path, given: str) -> None:
        """What is no address and was not rejected for it either is an error: nobody is meant by it."""
        with pytest.raises(ConfigError, match="That is no e-mail address"):
            list(forget(given, root))


class TestRejects:
    """``rejects.csv``, which spreadsheets read."""

    @pytest.mark.parametrize("address", [FAKE, ODD])
    def test_the_row_goes(self, life: Life, root: Path, address: str) -> None:
        """A rejected person's row goes, also where the address was defused; the others stay as they are."""
        folder = RunFolder(root / "life" / "run1")
        before = rows_of(folder)
        assert found_in(root, address)[f"life/run1/{REJECTS}"] == 1
        assert rows_of(folder) == [row for row in before if row["email"] != escape_formula(address)]
        assert len(before) == 2

    def test_formulas_and_quotes_survive(self, life: Life, root: Path) -> None:
        """Defused formulas, quotes and line breaks in other rows are as before."""
        folder = RunFolder(root / "life" / "run1")
        odd = ["'=1+1", 'say "hi"\nthere', "other@example.com", "", "refused", "'@x, \u00fc", "r\u00e9"]
        gone = ["A", "row 9", FAKE, "", "refused", "", ""]
        write_rows(folder, [odd, gone, gone])
        assert found_in(root, FAKE)[f"life/run1/{REJECTS}"] == 2
        assert rows_of(folder) == [dict(zip(REJECT_COLUMNS, odd, strict=True))]
        assert folder.read(REJECTS).startswith("\ufeff".encode())

    def test_an_apostrophe_is_part_of_an_address(self, life: Life, root: Path) -> None:
        """Forgetting one person takes no row of another, whose address differs by an apostrophe only."""
        folder = RunFolder(root / "life" / "run1")
        rows = [
            ["A", "row", email, "", "refused", "", ""] for email in ("'o@brieftaube.eu", "o@brieftaube.eu")
        ]
        for address, left in (
            ("'o@brieftaube.eu", "o@brieftaube.eu"),
            ("o@brieftaube.eu", "'o@brieftaube.eu"),
        ):
            write_rows(folder, rows)
            assert found_in(root, address) == {f"life/run1/{REJECTS}": 1}
            assert [row["email"] for row in rows_of(folder)] == [left]


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    """The rows of ``rejects.csv``."""
    text = folder.read(REJECTS).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def write_rows(folder: RunFolder, rows: list[list[str]]) -> None:
    """Write a ``rejects.csv``."""
    with folder.writing(REJECTS) as draft, draft.open("w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle).writerows([REJECT_COLUMNS, *rows])


class TestLock:
    """Not while a run is at work."""

    def test_a_busy_export_is_refused(self, life: Life, root: Path) -> None:
        """While a run is at work nothing is touched, and the message says which one and what to do."""
        before = texts(root)
        with Lock(life.folder, "run3").held(), pytest.raises(ExportBusy, match="Run 'run3' of this export"):
            list(forget(BO, root))
        life.folder.remove(LOCK)
        assert texts(root) == before

    def test_a_run_that_waits_is_at_work(self, life: Life, root: Path) -> None:
        """While Mailchimp works on a run's batches nothing is touched either."""
        lock = Lock(life.folder, "run3")
        with lock.held():
            lock.keep_waiting()
        with pytest.raises(ExportBusy):
            list(forget(BO, root))

    def test_the_lock_is_let_go(self, life: Life, root: Path) -> None:
        """Afterwards, and also when something goes wrong, exports may run again at once."""
        list(forget(BO, root))
        assert not life.folder.exists(LOCK)


class TestLocations:
    """Where exports are kept."""

    def test_all_exports_are_searched(self, life: Life, root: Path) -> None:
        """Every export under the root is searched; what is no export is passed over."""
        (root / "notes.txt").write_text("x")
        other = ExportFolder(root / "other")
        write_ledger(other, BO, ADA)
        assert found_in(root, BO)[f"other/{LEDGER}"] == 1

    def test_a_remote_location(self) -> None:
        """On another storage than the local disk it is the same."""
        root = UPath(f"memory://{uuid4().hex}/exports")
        export = ExportFolder(root / "export")
        write_ledger(export, BO, ADA)
        assert [found.rows for found in forget(BO, root)] == [1]
        with export.reading(LEDGER) as path:
            assert pq.read_table(path)["email"].to_pylist() == [ADA]
        assert not export.exists(LOCK)

    def test_a_location_that_is_not_there(self, tmp_path: Path) -> None:
        """A mistyped location is an error: that nobody was found there would say nothing."""
        with pytest.raises(ConfigError, match=r"There are no exports at .* --exports-root"):
            list(forget(BO, tmp_path / "nowhere"))


def write_ledger(folder: Folder, *emails: str) -> None:
    """Write what a ledger holds, as far as it matters here."""
    with folder.writing(LEDGER) as draft:
        pq.write_table(pa.table({"email": emails, "subscriber_hash": ["x"] * len(emails)}), draft)


class TestCommandLine:
    """``python -m airflow_mailchimp_export.forget``."""

    def test_it_says_what_it_found_and_never_whom(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Each file is printed with the number of rows, and the sum; the address never is."""
        assert main([BO.upper(), "--exports-root", str(root)]) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert f"1 row(s) removed from {root}/life/run1/{PLAN}" in lines
        assert lines[-1].endswith(f" row(s) removed in all under {root}")
        assert int(lines[-1].split()[0]) == sum(int(line.split()[0]) for line in lines[:-1]) > 0
        assert err == ""
        assert "brieftaube" not in out.lower()

    def test_a_problem_is_printed(self, life: Life, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What went wrong goes to stderr without the address, and the exit code is 1."""
        with Lock(life.folder, "run3").held():
            assert main([BO, "--exports-root", str(root)]) == 1
        out, err = capsys.readouterr()
        assert (out, err.startswith("forget: Run 'run3' of this export is at work")) == ("", True)
        assert "brieftaube" not in err

    def test_it_is_a_program(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Run as a program it does the same, and its exit code says whether it worked."""
        for address, code in ((BO, 0), ("nobody", 1)):
            monkeypatch.setattr(sys, "argv", ["forget", address, "--exports-root", str(root)])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(program.__file__, run_name="__main__")
            assert ended.value.code == code
        assert "in all under" in capsys.readouterr().out
