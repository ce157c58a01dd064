"""The audience as an asset: published by exports that have reached it, and waited for by campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from airflow_mailchimp_export.published import XCOM_KEY
from tests.airflow.conftest import register
from tests.airflow.people import FIELD_MAP, Segments, crowd, row, write_segments
from tests.airflow.releases import read_back, serialized_dag
from tests.airflow.runs import new_dag, one_task, states, three_tasks, xcoms

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PEOPLE = {"VIP": crowd("vip", 3)}
SOME_WRONG = {"VIP": [*crowd("vip", 3), row("no-at-sign")]}
URI = "mailchimp://us0/a1b2c3d4e5"
LINK = "_link_AudienceLink"


def events(run: DagRun) -> list[tuple[str, str, list[str], dict[str, Any]]]:
    """Read what a run published: the task, the asset, the aliases that stood for it, and what is told of it."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(
            select(AssetEvent).where(
                AssetEvent.source_run_id == run.run_id, AssetEvent.source_dag_id == run.dag_id
            )
        ).all()
        return [
            (
                str(event.source_task_id),
                event.asset.uri,
                [alias.name for alias in event.source_aliases],
                event.extra,
            )
            for event in found
        ]


@pytest.mark.parametrize(("wiring", "task_id"), [(one_task, "export"), (three_tasks, "report")])
@pytest.mark.parametrize("people", [PEOPLE, SOME_WRONG], ids=["success", "partial"])
def test_who_has_accounted_publishes_the_audience(
    people: Any, wiring: Any, task_id: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """The audience is published once, with verdict, counts and segments, by the task that judges."""
    run = run_dag(wiring(segments=write_segments(tmp_path, people), delivery="direct"))
    ((task, uri, aliases, extra),) = events(run)
    assert (task, uri, aliases) == (task_id, URI, [f"mailchimp:{run.dag_id}.{task_id}"])
    assert extra["verdict"] == ("success" if people is PEOPLE else "partial")
    assert extra["counts"]["created"] == 3
    assert extra["segments"] == [
        {"name": "VIP", "rows": len(people["VIP"]), "members": 3, "joined": 3, "left": 0}
    ]
    assert {xcoms(run)[task, -1, LINK] for task in states(run) if task != "wait"} == {f"{mailchimp.url}/"}


@pytest.mark.parametrize(
    "settings",
    [{"dry_run": True}, {"options": {"max_profiles": 1}}, {"field_map": {"EMAIL": "first_name"}}],
    ids=["dry", "refused", "rejects"],
)
def test_what_reached_nobody_publishes_nothing(
    settings: dict[str, Any], mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Nobody waits for a dry run, or for one that was refused; the link to the audience is there anyway."""
    run = run_dag(one_task(**{"segments": write_segments(tmp_path, PEOPLE), **settings}))
    assert events(run) == []
    assert xcoms(run)["export", -1, LINK] == f"{mailchimp.url}/"


def test_a_failed_verdict_publishes_nothing(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A campaign must not go out after an export that failed, though it has sent something."""
    mailchimp.change(fault_rate=0.0)
    people = {"VIP": [*crowd("vip", 2), *(row(f"n{number}@example.com") for number in range(5))]}
    run = run_dag(one_task(segments=write_segments(tmp_path, people), delivery="direct"))
    assert states(run) == {"export": "failed"}
    assert len(mailchimp.members()) == 2
    assert events(run) == []


def test_a_withdrawal_publishes_nothing(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A campaign must not go out because its people were taken back."""
    export = {"segments": write_segments(tmp_path, PEOPLE), "export_name": "crm", "delivery": "direct"}
    assert len(events(run_dag(one_task(**export)))) == 1
    withdrawal = run_dag(one_task(**export, withdraw=True))
    assert xcoms(withdrawal)["export", -1, XCOM_KEY]["counts"]["removed"] == 3
    assert events(withdrawal) == []


@pytest.mark.parametrize("named", ["mailchimp://us0/a1b2c3d4e5", "mailchimp://US0/a1b2c3d4e5/", "Readers"])
def test_a_campaign_waits_for_the_audience(
    named: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A DAG that names the audience is due once an export has reached it, whatever it calls the asset."""
    from airflow.sdk import Asset

    campaign = campaign_of(Asset(named) if "//" in named else Asset(name=named, uri=URI))
    segments = write_segments(tmp_path, PEOPLE)
    run_dag(one_task(segments=segments, dry_run=True))
    assert campaign.dag_id not in due()
    run_dag(one_task(segments=segments))
    assert campaign.dag_id in due()


def campaign_of(asset: Any) -> DAG:
    """Make a DAG that waits for an asset and is switched on; no other DAG waits for the audience by then."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.models.dag import DagModel
    from airflow.sdk.execution_time.context import _AssetRefResolutionMixin
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select, update

    _AssetRefResolutionMixin._asset_ref_cache.clear()
    with new_dag(schedule=[asset]) as campaign:
        pass
    with create_session() as session:
        session.execute(delete(AssetActive).where(AssetActive.uri == URI))
    register(campaign)
    with create_session() as session:
        model = session.scalars(
            select(AssetModel).where(AssetModel.name == asset.name, AssetModel.uri == URI)
        ).one()
        if model.active is None:
            session.add(AssetActive.for_asset(model))
        session.execute(update(DagModel).where(DagModel.dag_id == campaign.dag_id).values(is_paused=False))
    return campaign


def due() -> set[str]:
    """Read which DAGs the scheduler would start next because of an asset."""
    from airflow.models.asset import AssetDagRunQueue
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return set(session.scalars(select(AssetDagRunQueue.target_dag_id)))


def test_mapped_exports_publish_too(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Each of several mapped exports publishes its account and the audience, under one alias."""
    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    files = write_segments(tmp_path, {"A": crowd("a", 1), "B": crowd("b", 2)})
    with new_dag() as dag:
        SegmentToMailchimpOperator.partial(task_id="export", field_map=FIELD_MAP).expand_kwargs(
            [{"segments": {name: uri}, "export_name": f"only {name}"} for name, uri in files.items()]
        )
    run = run_dag(dag)
    told = {index: value["export"] for (_, index, key), value in xcoms(run).items() if key == XCOM_KEY}
    assert told == {0: "only A", 1: "only B"}
    assert sorted((aliases, extra["export"]) for _, _, aliases, extra in events(run)) == [
        ([f"mailchimp:{run.dag_id}.export"], "only A"),
        ([f"mailchimp:{run.dag_id}.export"], "only B"),
    ]


def test_an_outlet_of_ones_own_stays(airflow_db: None) -> None:
    """The audience comes on top of what somebody declares."""
    from airflow.sdk import Asset

    dag = one_task(segments={"VIP": "vip.csv"}, outlets=[Asset("crm")])
    assert [outlet.name for outlet in dag.task_dict["export"].outlets] == [
        "crm",
        f"mailchimp:{dag.dag_id}.export",
    ]


def test_what_is_no_audience_is_refused(airflow_db: None) -> None:
    """Airflow asks the provider about URIs with its scheme: a DAG that would wait for ever is not read."""
    from airflow.sdk import Asset

    with pytest.raises(ValueError, match="such as mailchimp://us21/a1b2c3d4e5"):
        Asset("mailchimp://us21/lists/a1b2c3d4e5")


def test_airflow_shows_the_link(airflow_db: None) -> None:
    """The link is among those that the API server reads of a DAG, and its class is one that it knows."""
    from airflow.providers_manager import ProvidersManager

    dag = read_back(three_tasks(segments={"VIP": "vip.csv"}))
    assert isinstance(dag, serialized_dag())
    links = {task.task_id: task.extra_links for task in dag.tasks}
    both = ["Account of the run", "Audience in Mailchimp"]
    assert {task: sorted(names) for task, names in links.items()} == {
        "export": both,
        "wait": [],
        "report": both,
    }
    known = ProvidersManager().extra_links_class_names
    assert {f"airflow_mailchimp_export.links.{name}" for name in ("AccountLink", "AudienceLink")} <= {*known}


@pytest.mark.parametrize(
    "base_url",
    ["https://airflow.example", "https://example.com/team/airflow/ ", ""],
    ids=["host", "path and blank", "none"],
)
@pytest.mark.parametrize("people", [PEOPLE, {"VIP": [row("no-at-sign")]}], ids=["success", "failed"])
def test_a_task_leads_to_its_run_on_our_page(
    base_url: str,
    people: Segments,
    mailchimp: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the task ends, under the base URL of Airflow there is the page of its run."""
    from airflow_mailchimp_export.plugin import PAGES

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    run = run_dag(one_task(segments=write_segments(tmp_path, people), delivery="direct"))
    (route,) = (page["url_route"] for page in PAGES if page["destination"] == "nav")
    assert states(run) == {"export": "success" if people is PEOPLE else "failed"}
    asked = urlencode({"dag_id": run.dag_id, "run_id": run.run_id})
    page = f"{base_url.rstrip('/ ')}/plugin/{route}?{asked}"
    assert xcoms(run)["export", -1, "_link_AccountLink"] == page
