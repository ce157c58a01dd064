"""Who may not be sent is kept between runs, and only changes are asked for, as long as nothing speaks against it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.address import subscriber_hash
from airflow_mailchimp_export.errors import MailchimpError
from airflow_mailchimp_export.forget import forget, main
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning import statuses as lookup
from airflow_mailchimp_export.rules import HELD_BACK
from airflow_mailchimp_export.state.statuses import STATUSES, StatusesMark, opened, write
from tests.kit.client import out_of_reach
from tests.kit.clock import FakeCalendar
from tests.kit.exports import LIST
from tests.kit.life import Life, one_by_one
from tests.kit.people import many, people

ADA, BO, CY, OUT = "ada@mail.eu", "bo@mail.eu", "cy@mail.eu", "out@mail.eu"
MEMBERS = f"{LIST}/members"
SEGMENT = {"S": people(ADA, BO, CY, OUT)}
EARLIER = "2026-01-01T00:00:00+00:00"

each_status = pytest.mark.parametrize("status", [status.value for status in HELD_BACK])


@pytest.fixture
def kept(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """An export that has run once and kept who may not be sent, though they are few."""
    monkeypatch.setattr(lookup, "REQUESTS_TO_ASK", 0)
    life.put(OUT, status="unsubscribed", last_changed=EARLIER)
    report = life.run(SEGMENT)
    assert (report.look_up, report.counts.suppressed) == ("read all 1", 1)
    assert life.folder.exists(STATUSES)
    return life


def is_asked(report: Report) -> bool:
    """Whether a run asked for changes, and was content with them."""
    return report.look_up.startswith("asked for what changed since ") and report.look_up.endswith(
        "; totals agree"
    )


def rows(life: Life) -> dict[str, str]:
    """The statuses that are kept, by hash of the address."""
    with opened(life.folder) as held:
        return {row["subscriber_hash"]: row["status"] for row in pq.read_table(held.path).to_pylist()}


def hashed(**statuses: str) -> dict[str, str]:
    """Statuses by hash, for people named by their first part."""
    return {subscriber_hash(f"{name}@mail.eu"): status for name, status in statuses.items()}


def test_only_changes_are_asked_for(kept: Life) -> None:
    """Each status is asked for since a day before the last reading, then counted; nobody is read as a whole."""
    kept.requests.clear()
    report = kept.run(SEGMENT)
    with opened(kept.folder) as held:
        since = datetime.fromisoformat(held.mark.current_at) - timedelta(days=1)
    queries = [dict(request.query) for request in kept.sent(f"GET {MEMBERS}")]
    asked = [query["status"] for query in queries if query.get("since_last_changed") == since.isoformat()]
    left = [query["status"] for query in queries if query.get("unsubscribed_since") == since.isoformat()]
    counted = [query["status"] for query in queries if query["count"] == "1"]
    assert counted == [*HELD_BACK]
    assert asked == [*HELD_BACK, "subscribed"]
    assert left == ["unsubscribed"]
    assert len(queries) == len(asked + counted + left) == 12
    assert report.look_up == f"asked for what changed since {since.isoformat()}: 0 people; totals agree"


def test_an_unchanged_run_writes_nothing(kept: Life) -> None:
    """Where nothing changed the file is left as it is."""
    before = kept.folder.read(STATUSES)
    assert is_asked(kept.run(SEGMENT))
    assert kept.folder.read(STATUSES) == before


def test_an_unchanged_run_moves_the_moment_to_ask_from(kept: Life) -> None:
    """The file is written again once it is older than what is asked for twice, though nothing changed."""
    remarked(kept, current_at=days_ago(1.1))
    assert is_asked(kept.run(SEGMENT))
    with opened(kept.folder) as held:
        assert held.mark.current_at > days_ago(0.1)


@each_status
def test_who_changed_by_other_hands_is_not_sent(kept: Life, status: str) -> None:
    """Whatever status somebody got since, they are suppressed for it, and it is kept."""
    kept.put(ADA, status=status)
    report = kept.run(SEGMENT, full=False)
    assert is_asked(report)
    assert report.counts.suppressed == 2
    assert rows(kept) == hashed(ada=status, out="unsubscribed")


@each_status
def test_who_came_back_is_sent(kept: Life, status: str) -> None:
    """Who is subscribed again is not kept any more, without reading all, and is sent."""
    kept.put(ADA, status=status)
    kept.run(SEGMENT)
    kept.put(ADA, status="subscribed")
    report = kept.run(SEGMENT)
    assert is_asked(report)
    assert (report.counts.suppressed, report.counts.updated) == (1, 1)
    assert rows(kept) == hashed(out="unsubscribed")


def test_who_goes_from_status_to_status(kept: Life) -> None:
    """Who is in another status now counts in that one only."""
    kept.put(OUT, status="archived")
    assert is_asked(kept.run(SEGMENT))
    assert rows(kept) == hashed(out="archived")


@pytest.mark.parametrize("how", [{"on_leave": OnLeave.ARCHIVE}, {"new_member_status": MemberStatus.PENDING}])
def test_what_the_export_does_itself(kept: Life, how: Mapping[str, Any]) -> None:
    """Who is archived, restored, or asked to confirm by the export itself is followed from run to run."""
    kept.run({"S": people(ADA, BO, CY, OUT, "new@mail.eu")}, **how)
    for segment in (people(ADA, BO), people(ADA, BO, CY, OUT, "more@mail.eu"), people(ADA, BO)):
        assert is_asked(kept.run({"S": segment}, max_removal_ratio=1.0, **how))
    held = {subscriber_hash(email): one[0] for email, one in kept.audience().items()}
    assert is_asked(kept.run({"S": people(ADA, BO)}, max_removal_ratio=1.0, **how))
    assert rows(kept) == {each: status for each, status in held.items() if status != "subscribed"}


def test_who_was_deleted_for_good(kept: Life) -> None:
    """Who is gone changes no more: the totals say so, and all are read."""
    kept.put(ADA, status="unsubscribed")
    kept.run(SEGMENT)
    kept.change(OUT, forgotten=True)
    report = kept.run(SEGMENT)
    assert report.look_up == "read all 1: total of unsubscribed is 1, kept 2"
    assert rows(kept) == hashed(ada="unsubscribed")
    assert is_asked(kept.run(SEGMENT))


def test_one_deleted_and_one_who_came_back(kept: Life) -> None:
    """Who came back is no longer held back, also where somebody else is gone."""
    kept.put(ADA, status="unsubscribed")
    kept.run(SEGMENT)
    kept.change(OUT, forgotten=True)
    kept.put(ADA, status="subscribed")
    report = kept.run(SEGMENT)
    assert report.look_up == "read all 0: total of unsubscribed is 0, kept 1"
    assert report.counts.updated == 1


@pytest.mark.parametrize(
    ("hours", "way"), [(20, "asked for what"), (28, "read all 2: total of cleaned is 1, kept 0")]
)
def test_changes_that_show_late(kept: Life, hours: int, way: str) -> None:
    """Who changed before all were read, and shows only afterwards, is found, by the overlap or by the total."""
    with opened(kept.folder) as held:
        read_at = datetime.fromisoformat(held.mark.current_at)
    kept.put(ADA, status="cleaned", last_changed=(read_at - timedelta(hours=hours)).isoformat())
    report = kept.run(SEGMENT)
    assert report.look_up.startswith(way)
    assert report.counts.suppressed == 2


@pytest.mark.parametrize("days", [-3, -0.1, 0.1, 3])
def test_a_clock_that_is_wrong(life: Life, monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Whatever this machine takes for the time, what changes between two runs is found."""
    monkeypatch.setattr(lookup, "REQUESTS_TO_ASK", 0)
    life.now = FakeCalendar(datetime.now(UTC) + timedelta(days=days))
    life.put(OUT, status="unsubscribed", last_changed=EARLIER)
    life.put(CY, status="archived")
    life.run(SEGMENT)
    life.put(ADA, status="unsubscribed")
    report = life.run(SEGMENT)
    assert is_asked(report)
    assert report.counts.suppressed == 3


def told_otherwise(life: Life, more: int, *, of: Callable[[dict[str, str]], bool]) -> None:
    """Let Mailchimp have other totals than members, in some of its answers."""

    def answer(request: Request) -> Any:
        query = dict(request.query)
        if not of(query):
            return None
        answer = life.sandbox.call("GET", f"{request.path}?{urlencode(query)}")
        return {**answer, "total_items": answer["total_items"] + more}

    life.script[f"GET {MEMBERS}"] = answer


@each_status
@pytest.mark.parametrize("more", [1, 7])
def test_a_total_that_is_off(kept: Life, status: str, more: int) -> None:
    """Where Mailchimp has more members of any status than are kept, all are read."""
    told_otherwise(kept, more, of=lambda query: query["count"] == "1" and query["status"] == status)
    was = 1 if status == "unsubscribed" else 0
    report = kept.run(SEGMENT)
    assert report.look_up == f"read all 1: total of {status} is {was + more}, kept {was}"
    assert report.counts.suppressed == 1


def test_totals_that_are_never_right(kept: Life) -> None:
    """Where a full reading does not agree with the totals either it counts, and nothing is kept."""
    told_otherwise(
        kept, 1, of=lambda query: query["status"] == "cleaned" and "since_last_changed" not in query
    )
    kept.put(ADA, status="unsubscribed")
    report = kept.run(SEGMENT)
    off = "total of cleaned is 1, kept 0; total of cleaned is 1, found 0, so nothing is kept"
    assert report.look_up == f"read all 2: {off}"
    assert report.counts.suppressed == 2
    assert not kept.folder.exists(STATUSES)
    kept.script.clear()
    assert kept.run(SEGMENT).look_up == "read all 2"


def test_answers_without_a_date(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Mailchimp does not say what time it is there is nothing to ask from, and nothing is kept."""
    monkeypatch.setattr(lookup, "REQUESTS_TO_ASK", 0)

    monkeypatch.setattr(MailchimpClient, "_timed", lambda client, answer: answer)
    life.put(OUT, status="unsubscribed")
    assert life.run(SEGMENT).counts.suppressed == 1
    assert not life.folder.exists(STATUSES)


def remarked(life: Life, **changes: Any) -> None:
    """Write the file again, with other words of itself."""
    with opened(life.folder) as held:
        rewritten(life, replace(held.mark, **changes), pq.read_table(held.path))


def rewritten(life: Life, mark: StatusesMark, table: pa.Table) -> None:
    """Write the file again."""
    table = table.replace_schema_metadata()
    with life.folder.writing(STATUSES) as draft:
        write(draft, mark, pa.RecordBatchReader.from_batches(table.schema, table.to_batches()))


def half_written(life: Life) -> None:
    """Cut the file."""
    content = life.folder.read(STATUSES)
    life.folder.put(STATUSES, content[: len(content) // 2])


def of_a_newer_release(life: Life) -> None:
    """Give it a format that is not known."""
    with opened(life.folder) as held:
        table = pq.read_table(held.path)
    metadata = {
        key: value.replace(b'"format":1', b'"format":2') for key, value in table.schema.metadata.items()
    }
    assert metadata != table.schema.metadata
    with life.folder.writing(STATUSES) as draft:
        pq.write_table(table.replace_schema_metadata(metadata), draft)


def with_a_strange_status(life: Life) -> None:
    """Give somebody a status that there is not."""
    with opened(life.folder) as held:
        table = pa.table(
            {"subscriber_hash": ["0" * 32], "member_id": pa.array([None], pa.string()), "status": ["asleep"]}
        )
        rewritten(
            life, held.mark, pa.concat_tables([pq.read_table(held.path).replace_schema_metadata(), table])
        )


def with_other_columns(life: Life) -> None:
    """Take a column out."""
    with opened(life.folder) as held:
        rewritten(life, held.mark, pq.read_table(held.path).drop_columns("member_id"))


def days_ago(days: float) -> str:
    """So many days before now."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


OTHERS = f"{STATUSES} is of another export, audience or account, or of other statuses"

UNUSABLE: Mapping[str, tuple[Callable[[Life], object], str]] = {
    "half written": (half_written, f"{STATUSES} is damaged"),
    "no Parquet": (lambda life: life.folder.put(STATUSES, b"nonsense"), f"{STATUSES} is damaged"),
    "newer": (of_a_newer_release, f"{STATUSES} was written by a newer release of airflow-mailchimp-export"),
    "another export's": (lambda life: remarked(life, export="other"), OTHERS),
    "another audience's": (lambda life: remarked(life, audience_id="b1b2c3d4e5"), OTHERS),
    "another account's": (lambda life: remarked(life, account="us7"), OTHERS),
    "of fewer statuses": (lambda life: remarked(life, statuses=("unsubscribed", "cleaned")), OTHERS),
    "of a strange status": (with_a_strange_status, f"{STATUSES} has a status that is not known"),
    "of other columns": (with_other_columns, f"{STATUSES} has other columns"),
    "too old": (lambda life: remarked(life, read_at=days_ago(30.1)), "all were read last at "),
    "of tomorrow": (lambda life: remarked(life, read_at=days_ago(-1)), "all were read last at "),
    "of no moment": (lambda life: remarked(life, read_at=""), f"{STATUSES} does not say when it was read"),
    "without a zone": (
        lambda life: remarked(life, read_at=EARLIER[:19]),
        f"{STATUSES} does not say when it was read",
    ),
    "of no hour": (lambda life: remarked(life, current_at=""), f"{STATUSES} does not say when it was read"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_may_not_be_used(kept: Life, case: str) -> None:
    """Whatever is wrong with the file, all are read, the log says why, and the next run has a good one."""
    break_it, why = UNUSABLE[case]
    break_it(kept)
    kept.put(ADA, status="unsubscribed", last_changed=EARLIER)
    report = kept.run(SEGMENT)
    assert report.look_up.startswith("read all 2")
    assert why in report.look_up
    assert report.counts.suppressed == 2
    assert is_asked(kept.run(SEGMENT))


def test_it_is_used_for_thirty_days(kept: Life) -> None:
    """Asking for changes does not make the last full reading any younger."""
    remarked(kept, read_at=days_ago(29.9))
    kept.put(ADA, status="unsubscribed")
    assert is_asked(kept.run(SEGMENT))
    kept.now = FakeCalendar(datetime.now(UTC) + timedelta(days=0.2))
    assert kept.run(SEGMENT).look_up.startswith("read all 2: all were read last at ")


def test_a_full_run_reads_all(kept: Life) -> None:
    """Whoever asks for everybody gets everybody, and what is read is kept."""
    kept.put(ADA, status="unsubscribed", last_changed=EARLIER)
    kept.change(OUT, forgotten=True)
    assert kept.run(SEGMENT, full=True).look_up == "read all 1: a full run reads all"
    assert rows(kept) == hashed(ada="unsubscribed")


def test_a_dry_run_keeps_nothing(kept: Life) -> None:
    """A dry run asks for changes as well, and leaves the file as it is, also where it had to read all."""
    before = kept.folder.read(STATUSES)
    kept.put(ADA, status="unsubscribed")
    report = kept.run(SEGMENT, dry_run=True)
    assert is_asked(report)
    assert report.counts.suppressed == 2
    kept.change(OUT, forgotten=True)
    assert kept.run(SEGMENT, dry_run=True).look_up.startswith("read all 1: total of unsubscribed")
    assert kept.folder.read(STATUSES) == before


def test_withdrawing_keeps_nothing(kept: Life) -> None:
    """An export that is taken back needs to know nobody any more."""
    assert is_asked(kept.run(SEGMENT, withdraw=True))
    assert not kept.folder.exists(STATUSES)


def test_a_reading_that_breaks_off(kept: Life) -> None:
    """Who was read until then is not kept."""
    before = kept.folder.read(STATUSES)
    kept.put(ADA, status="unsubscribed")
    kept.script[f"GET {MEMBERS}"] = lambda request: (
        out_of_reach() if dict(request.query)["status"] == "archived" else None
    )
    with pytest.raises(MailchimpError):
        kept.run(SEGMENT)
    assert kept.folder.read(STATUSES) == before
    kept.script.clear()
    assert kept.run(SEGMENT).counts.suppressed == 2


def test_forgetting(kept: Life) -> None:
    """Who is forgotten is kept no more, nor is anybody else, and the next run reads all."""
    kept.put(ADA, status="unsubscribed")
    kept.run(SEGMENT)
    root = Path(kept.folder.uri).parent
    shutil.copyfile(Path(kept.folder.uri, STATUSES), Path(kept.folder.uri, "before.parquet"))
    found = {Path(found.file).name: (found.rows, found.whole) for found in forget(f" {OUT.upper()}", root)}
    assert found[STATUSES] == found["before.parquet"] == (1, True)
    assert not {STATUSES, "before.parquet"} & {*kept.folder.names()}
    assert kept.run(SEGMENT).look_up == "read all 2"
    kept.change(OUT, forgotten=True)
    list(forget(OUT, root))
    assert kept.run(SEGMENT).look_up == "read all 1"


def test_forgetting_in_a_file_that_has_more_columns(kept: Life) -> None:
    """What has the columns of statuses among others is no cache of them, and loses the person's row alone."""
    kept.put(ADA, status="unsubscribed")
    kept.run(SEGMENT)
    with opened(kept.folder) as held:
        table = pq.read_table(held.path)
    wider = Path(kept.folder.uri, "ledger_of_tomorrow.parquet")
    pq.write_table(table.append_column("tags", pa.array(["S"] * table.num_rows)), wider)
    found = {Path(one.file).name: one.whole for one in forget(OUT, Path(kept.folder.uri).parent)}
    assert (found[STATUSES], found[wider.name]) == (True, False)
    assert pq.read_table(wider).num_rows == table.num_rows - 1


def test_forgetting_one_while_another_returns(kept: Life) -> None:
    """Who said no and is forgotten here is not sent, also where totals agree for somebody else came back unseen."""
    kept.put(*many(1001)["email"].to_pylist())
    kept.put("zlast@mail.eu", status="unsubscribed")
    kept.run(SEGMENT)
    list(forget(OUT, Path(kept.folder.uri).parent))
    kept.put("zlast@mail.eu", status="subscribed")
    report = kept.run(SEGMENT)
    assert (report.look_up, report.counts.suppressed) == ("read all 1", 1)
    assert kept.audience()[OUT][0] == "unsubscribed"


def test_forgetting_by_an_earlier_address(kept: Life, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has another address by now is found by the one that Mailchimp's key is still made of; others stay."""
    with opened(kept.folder) as held:
        mark, table = held.mark, pq.read_table(held.path)
    rewritten(kept, mark, table.set_column(1, "member_id", pa.array([subscriber_hash("old@mail.eu")])))
    root = Path(kept.folder.uri).parent
    assert list(forget("stranger@mail.eu", root)) == []
    assert kept.folder.exists(STATUSES)
    assert main(["old@mail.eu", "--exports-root", str(root)]) == 0
    said = "and all others, which the next run reads from Mailchimp"
    assert (
        capsys.readouterr().out.splitlines()[0]
        == f"1 row(s) removed from {kept.folder.uri}/{STATUSES}, {said}"
    )
    assert not kept.folder.exists(STATUSES)


@pytest.mark.parametrize("swapped", [1, 51])
def test_as_many_join_as_leave_while_all_are_read(life: Life, swapped: int) -> None:
    """Where pages shift and the total stays, either nobody is missed or nothing is kept: who said no is not sent."""
    life.max_connections = 1
    life.put(*many(1001)["email"].to_pylist())
    life.put(*(f"m{n:05}@mail.eu" for n in range(13_000)), status="unsubscribed", last_changed=EARLIER)
    swaps = one_by_one(
        lambda: (
            life.put(*(f"m{n:05}@mail.eu" for n in range(5, 5 + swapped))),
            life.put(*(f"z{n}@mail.eu" for n in range(swapped)), status="unsubscribed"),
        )
    )
    life.script[f"GET {MEMBERS}"] = lambda request: (
        swaps()
        if dict(request.query)["status"] == "unsubscribed" and ("offset", "0") not in request.query
        else None
    )
    told = life.run({"S": people(BO)}).look_up
    assert told.endswith(
        f"total of unsubscribed is 13,000, found {12_999 + swapped + (swapped < 51):,}, so nothing is kept"
    )
    assert not life.folder.exists(STATUSES)
    life.script.clear()
    last = [f"m{n:05}@mail.eu" for n in range(940, 1060)]
    assert life.run({"S": people(BO, *last)}).counts.suppressed == len(last)


def test_nobody_is_named(kept: Life) -> None:
    """Who opted out is kept by what Mailchimp calls their hash, and only the owner may read that."""
    file = Path(kept.folder.uri, STATUSES)
    assert pq.read_table(file).to_pylist() == [
        {"subscriber_hash": subscriber_hash(OUT), "member_id": None, "status": "unsubscribed"}
    ]
    assert file.stat().st_mode & 0o077 == 0


def test_many_who_changed_and_are_subscribed(kept: Life) -> None:
    """Where finding who came back would take longer than reading all, all are read."""
    kept.put(*many(5001)["email"].to_pylist())
    kept.put("last@mail.eu", status="unsubscribed")
    assert is_asked(kept.run(SEGMENT))
    kept.put("last@mail.eu", status="subscribed")
    kept.requests.clear()
    assert kept.run(SEGMENT).look_up == "read all 1: total of unsubscribed is 1, kept 2"
    queries = [dict(request.query) for request in kept.sent(f"GET {MEMBERS}")]
    assert [query["offset"] for query in queries if query["status"] == "subscribed"] == ["0", "0"]


def test_a_change_that_never_shows_and_somebody_who_came_back(kept: Life) -> None:
    """Though the total is that of before, who came back shows, and so all are read."""
    kept.put(ADA, status="unsubscribed", last_changed=EARLIER)
    kept.put(OUT, status="subscribed")
    report = kept.run(SEGMENT)
    assert report.look_up == "read all 1: total of unsubscribed is 1, kept 0"
    assert rows(kept) == hashed(ada="unsubscribed")


def test_readings_that_are_whole_only_together(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each reading lacks somebody else, who was met is suppressed, and nothing is kept."""
    monkeypatch.setattr(lookup, "REQUESTS_TO_ASK", 0)
    life.put(ADA, OUT, status="unsubscribed")
    hidden = cycle([ADA, OUT])

    def without_one(request: Request) -> Any:
        query = dict(request.query)
        if query["status"] != "unsubscribed":
            return None
        answer = life.sandbox.call("GET", f"{request.path}?{urlencode(query)}")
        missing = next(hidden)
        return {**answer, "members": [one for one in answer["members"] if one["email_address"] != missing]}

    life.script[f"GET {MEMBERS}"] = without_one
    report = life.run(SEGMENT)
    assert (
        report.look_up
        == "read all 2: no reading of unsubscribed met as many as there are, so nothing is kept"
    )
    assert report.counts.suppressed == 2
    assert not life.folder.exists(STATUSES)


@pytest.mark.parametrize("how", ["since_last_changed", "unsubscribed_since"])
def test_changes_that_cannot_be_read_as_a_whole(kept: Life, how: str) -> None:
    """Where pages have fewer than they say, all are read, though totals agree for somebody came back unseen."""
    kept.put(*many(1001)["email"].to_pylist())
    kept.put("zlast@mail.eu", status="unsubscribed")
    kept.run(SEGMENT)
    kept.put(ADA, status="unsubscribed", last_changed=days_ago(0.1))
    kept.put("zlast@mail.eu", status="subscribed")
    hidden: list[str] = []

    def without_ada(request: Request) -> Any:
        query = dict(request.query)
        if query["status"] != "unsubscribed" or not {"since_last_changed", "unsubscribed_since"} & {*query}:
            return None
        answer = kept.sandbox.call("GET", f"{request.path}?{urlencode(query)}")
        others = [member for member in answer["members"] if member["email_address"] != ADA]
        if how not in query:
            return {"members": others, "total_items": len(others)}
        hidden.append(query["offset"])
        return {**answer, "members": others}

    kept.script[f"GET {MEMBERS}"] = without_ada
    report = kept.run(SEGMENT)
    assert hidden == ["0"] * 3
    assert report.look_up == "read all 2: changes of unsubscribed could not be read as a whole"
    assert report.counts.suppressed == 2


def test_few_are_read_and_not_kept(life: Life) -> None:
    """Where reading all takes no more requests than asking would, nobody is kept."""
    life.put(OUT, status="unsubscribed")
    assert [life.run(SEGMENT).look_up for _ in range(2)] == ["read all 1"] * 2
    assert not life.folder.exists(STATUSES)


@pytest.mark.parametrize("count", [15_000, 30_000])
def test_the_cost_does_not_depend_on_how_many_there_are(life: Life, count: int) -> None:
    """An unchanged run takes as many requests whether 15,000 opted out or twice as many."""
    life.put(*(f"o{number}@mail.eu" for number in range(count)), status="unsubscribed", last_changed=EARLIER)
    life.run(SEGMENT)
    life.requests.clear()
    report = life.run(SEGMENT, contact_limit=100_000)
    assert is_asked(report)
    assert report.counts.unchanged == 4
    assert len(life.requests) == 3 + 12 + 3
