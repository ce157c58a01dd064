"""The DAGs that are built of a configuration, in an Airflow that reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.errors import ConfigError
from tests.airflow.releases import bags, bundle_bag
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from airflow.sdk import DAG

DAGS = REPOSITORY / "dags"

GOOD = """\
profiles: profiles.parquet
snapshots: snapshots
segments:
  vip: {name: VIP, where: spent > 1000}
  buyers: {name: Buyers, where: bought}
defaults: {email: mail, connection: mailchimp_de}
exports:
  with_the_refresh: {segments: [vip, buyers]}
  each_morning:
    segments: [buyers, vip]
    audience_id: a1b2c3d4e5
    display_name: Each morning
    description: For those who rise early.
    schedule: 0 6 * * 1-5
    delivery: direct
    on_leave: archive
    options: {max_removal_ratio: 0.1, allow_older: true, keep_runs: 5}
    profile_id: customer_id
    owner: marketing
    tags: [early]
    pool: mailchimp
    connections: 5
  when_asked: {segments: [vip], audience_id: b1, schedule: by_hand}
  not_now: {segments: [vip], audience_id: c1, enabled: false}
"""
BROKEN = GOOD + "  mistyped: {segments: [vpi], audience_id: d1}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file without mistakes."""
    written = tmp_path / "exports.yaml"
    written.write_text(GOOD)
    return written


@pytest.fixture
def dags(file: Path) -> dict[str, DAG]:
    """The DAGs of the file without mistakes."""
    from airflow_mailchimp_export.dags import exports

    return exports(file)


def test_a_dag_for_each_export_that_is_enabled(dags: dict[str, DAG]) -> None:
    """Each is called like its export; what is not enabled has none; the refresh has two more."""
    assert list(dags) == [
        "with_the_refresh",
        "each_morning",
        "when_asked",
        "customer_segments_refresh",
        "customer_segments_refresh_and_export_all",
    ]
    assert all(dag.dag_id == name for name, dag in dags.items())


def test_saving_an_export_runs_nothing(dags: dict[str, DAG]) -> None:
    """Every DAG is paused when it is new, whatever Airflow does with others, and catches up with nothing."""
    assert {dag.is_paused_upon_creation for dag in dags.values()} == {True}
    assert {(dag.catchup, dag.max_active_runs) for dag in dags.values()} == {(False, 1)}


def test_schedules(dags: dict[str, DAG]) -> None:
    """An export runs with the refresh, by a cron expression, or only when it is triggered."""
    assert [asset.name for asset in dags["with_the_refresh"].timetable.asset_condition.objects] == [
        "customer_segments"
    ]
    assert dags["each_morning"].schedule == "0 6 * * 1-5"
    assert dags["when_asked"].schedule is None
    assert dags["customer_segments_refresh"].schedule == "@daily"


def test_what_people_see_of_an_export(dags: dict[str, DAG]) -> None:
    """Its display name, description, owner and tags are the configured ones."""
    dag = dags["each_morning"]
    assert (dag.dag_display_name, dag.description) == ("Each morning", "For those who rise early.")
    assert dag.doc_md
    assert dag.doc_md.startswith("For those who rise early.\n\nRuns at `0 6 * * 1-5` (UTC), and by hand")
    assert dag.owner == "marketing"
    assert dag.tags == {"mailchimp", "segments", "early"}


def test_what_reaches_the_operator(dags: dict[str, DAG]) -> None:
    """Connection, audience, field map, options and pool are those of the entry; what is usual is left out."""
    export = dags["each_morning"].task_dict["export"]
    assert (export.mailchimp_conn_id, export.audience_id) == ("mailchimp_de", "a1b2c3d4e5")
    assert export.field_map == {"EMAIL": "mail"}
    assert export.options == {
        "keep_runs": 5,
        "profile_id": "customer_id",
        "max_removal_ratio": "{{ params.max_removal_ratio }}",
        "allow_older": "{{ params.allow_older }}",
    }
    assert {(task.task_id, task.pool, task.pool_slots) for task in dags["each_morning"].tasks} == {
        ("choose_refresh", "default_pool", 1),
        ("export", "mailchimp", 5),
        ("wait_for_batches", "mailchimp", 1),
        ("report", "mailchimp", 5),
    }


def test_the_form_begins_with_what_is_configured(dags: dict[str, DAG]) -> None:
    """Whoever triggers an export and changes nothing gets what a scheduled run does."""
    assert {name: param.value for name, param in dags["each_morning"].params.items()} == {
        "segments": ["Buyers", "VIP"],
        "refresh": None,
        "delivery": "direct",
        "on_leave": "archive",
        "max_removal_ratio": 0.1,
        "dry_run": False,
        "full": False,
        "allow_older": True,
        "withdraw": False,
    }


@pytest.mark.parametrize("asked", [["Vip"], ["VIP\n"], ["VIP", "Others"], ["V.P"], []])
def test_the_form_takes_no_other_segment(dags: dict[str, DAG], asked: list[str]) -> None:
    """What the export has not is refused, rather than left out without a word."""
    from airflow.providers.common.compat.sdk import ParamValidationError

    from airflow_mailchimp_export.dags.choosing import chosen

    def choose() -> None:
        dags["with_the_refresh"].params["segments"] = asked
        chosen({"vip": "VIP", "buyers": "Buyers"}, asked)

    with pytest.raises((ParamValidationError, ConfigError)):
        choose()


def test_chosen_segments_keep_their_order() -> None:
    """Whichever are chosen, the first row of a person is the one of the export's first segment."""
    from airflow_mailchimp_export.dags.choosing import chosen

    names = {"buyers": "Buyers", "vip": "VIP"}
    assert list(chosen(names, ["VIP", "Buyers"]).items()) == list(names.items())
    assert chosen(names, ["VIP"]) == {"vip": "VIP"}


def test_the_form_of_the_refresh(dags: dict[str, DAG]) -> None:
    """It builds all segments, unless some are chosen: a scheduled run reads the form of yesterday's segments."""
    params = dags["customer_segments_refresh"].params
    assert params["segments"] == []
    assert params.get_param("segments").schema["examples"] == ["VIP", "Buyers"]
    params["segments"] = ["VIP"]


def test_one_dag_runs_all(dags: dict[str, DAG]) -> None:
    """It refreshes, and then runs each export that is enabled, all at once."""
    assert dags["customer_segments_refresh_and_export_all"].tags == {"segments"}, (
        "The pages take it for an export"
    )
    tasks = dags["customer_segments_refresh_and_export_all"].task_dict
    assert {name: task.upstream_task_ids for name, task in tasks.items()} == {
        "refresh": set(),
        "export_with_the_refresh": {"refresh"},
        "export_each_morning": {"refresh"},
        "export_when_asked": {"refresh"},
    }


def test_a_task_builds_its_own_dag_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Airflow says whose task is to run, no other DAG is built."""
    from airflow_mailchimp_export.dags import exports

    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "when_asked")
    assert list(exports(file)) == ["when_asked"]
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "customer_segments_refresh")
    assert list(exports(file)) == ["customer_segments_refresh"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("switched_off", "Export 'switched_off' is switched off (enabled: false) in {file}"),
        ("taken_out", "There is no export 'taken_out' in {file} (any more)"),
        ("mistyped", "Export 'mistyped' has mistakes in {file}"),
    ],
)
def test_a_task_whose_export_is_stopped_learns_why(
    asked: str, words: str, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow says only that it does not find the DAG; the log says which, that nothing is sent, and what to do."""
    from airflow_mailchimp_export.dags import exports

    entries = "  switched_off: {enabled: no, segments: [vip]}\n  mistyped: {segments: [vpi]}\n"
    file.write_text(f"{file.read_text(encoding='utf-8').rstrip()}\n{entries}", encoding="utf-8")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", asked)
    assert exports(file) == {}
    said = " ".join(caplog.messages[-1].split())
    assert said.startswith(
        f"{words.format(file=file)}, so this task does not run, and sends nothing. Remedy: "
    )
    assert said.endswith("the next run, or python -m airflow_mailchimp_export.withdraw, accounts for it")


def test_exports_that_are_kept_elsewhere(file: Path) -> None:
    """A configuration may be made in Python, and something else may write the segments, which are read there."""
    from airflow_mailchimp_export.dags import exports

    configuration = load(file).configuration
    assert configuration
    with pytest.raises(
        ConfigError, match="Segment 'VIP', 'Buyers' has a rule over files, which only the refresh"
    ):
        exports(configuration, refresh=False)
    file.write_text(
        "snapshots: s\nsegments:\n  vip: {name: VIP, uri: vip.csv, decimal: ','}\n"
        "exports:\n  one: {email: mail, segments: [vip]}\n"
    )
    configuration = load(file).configuration
    assert configuration
    dags = exports(configuration, refresh=False)
    assert list(dags) == ["one"]
    assert "choose_segments" in dags["one"].task_dict


class TestMistakes:
    """What a mistake in the file does to its DAGs."""

    @pytest.fixture
    def bag(self, airflow_db: None, tmp_path: Path) -> Any:
        """The shipped DAG files beside another exports.yaml, as the DAG processor reads and keeps them."""

        def read(text: str) -> Any:
            from airflow.models.dagbundle import DagBundleModel
            from airflow.utils.session import create_session

            for name in ("mailchimp_exports.py", "mailchimp_exports_check.py"):
                (tmp_path / name).write_text((DAGS / name).read_text())
            (tmp_path / "exports.yaml").write_text(text)
            with create_session() as session:
                if session.get(DagBundleModel, "mistakes") is None:
                    session.add(DagBundleModel(name="mistakes"))
            read_now = bundle_bag(tmp_path, "mistakes")
            bags().sync_bag_to_db(read_now, "mistakes", None)
            return read_now

        return read

    @staticmethod
    def state_of_dags() -> dict[str, tuple[bool | None, bool | None]]:
        """Read which DAGs Airflow knows, and what keeps it from running them."""
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            found = session.scalars(select(DagModel).where(DagModel.bundle_name == "mistakes")).all()
            return {dag.dag_id: (dag.is_stale, dag.has_import_errors) for dag in found}

    def test_a_broken_entry_takes_no_other_export_down(self, bag: Any) -> None:
        """Its mistake is an import error of the second file that names it; Airflow goes on to run all others."""
        read = bag(BROKEN)
        assert sorted(read.dags) == [
            "customer_segments_refresh",
            "customer_segments_refresh_and_export_all",
            "each_morning",
            "when_asked",
            "with_the_refresh",
        ]
        assert list(read.import_errors) == ["mailchimp_exports_check.py"]
        error = read.import_errors["mailchimp_exports_check.py"]
        assert (
            "exports.yaml:25:25: exports.mistyped.segments[0]: 'vpi' is no segment (did you mean 'vip'?)"
            in error
        )
        assert self.state_of_dags() == dict.fromkeys(read.dags, (False, False))

    def test_a_file_that_is_none(self, bag: Any) -> None:
        """Where the file cannot be read, both files say so with the line."""
        read = bag("exports: [\n")
        assert read.dags == {}
        assert set(read.import_errors) == {"mailchimp_exports.py", "mailchimp_exports_check.py"}
        assert all("exports.yaml:2:1: This is no YAML" in error for error in read.import_errors.values())

    def test_who_runs_without_the_second_file_finds_it_in_the_log(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is left out is told by whoever builds the rest."""
        from airflow_mailchimp_export.dags import exports

        file.write_text(BROKEN)
        assert "mistyped" not in exports(file)
        assert "exports.mistyped.segments[0]" in caplog.text


def test_reading_opens_nothing_but_the_file(file: Path) -> None:
    """Neither a connection nor a variable nor another file is read, nor anybody called, until a task runs."""
    code = dedent(
        f"""
        import sys
        from airflow_mailchimp_export.dags import exports
        import airflow_mailchimp_export.config.loading
        exports({str(file)!r})  # whatever Python and Airflow load only once is loaded now
        touched = []
        sys.addaudithook(
            lambda event, args: event in {{"open", "socket.connect", "sqlite3.connect", "subprocess.Popen"}}
            and touched.append((event, str(args[0])))
        )
        exports({str(file)!r})
        print(*touched, sep="\\n")
        """
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    # The words of a schedule are Airflow's to find: before 3.2 it reads them each time.
    touched = [line for line in ran.stdout.splitlines() if "/cron_descriptor/locale/" not in line]
    assert touched == [str(("open", str(file)))]
