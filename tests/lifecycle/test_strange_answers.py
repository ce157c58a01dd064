"""Answers that Mailchimp should never give: whatever it says, every row is accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ExportError, PermanentError, RetryableError
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.archives import to_archive, to_result
from tests.kit.client import members_of, raising
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.people import many, people
from tests.kit.sandbox import InProcessSandbox

ADDRESSES = [
    "a@x.eu",
    "A@X.EU ",
    "b@x.eu",
    "c@x.eu",
    "d@x.eu",
    "e@x.eu",
    "f@x.eu",
    "not an address",
    "",
    None,
]
STATUSES = st.sampled_from(["subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"])
SEGMENTS = st.lists(st.lists(st.sampled_from(ADDRESSES), max_size=8), min_size=1, max_size=3)
STRANGE = st.sampled_from(
    ["as sent", "missing", "twice", "refused", "suppressed", "stranger", "unsubscribed", ""]
)


@pytest.mark.parametrize("answer", [["what?"], 7])
def test_results_in_no_known_shape_are_no_crash(life: Life, answer: object) -> None:
    """Whatever the results hold, finalizing ends in a report, with everybody in question unconfirmed."""
    life.run({"S": many(3)})
    life.script["GET /results"] = lambda request: to_archive([to_result("0", answer)])
    report = life.run({"S": many(4)}, delivery=Delivery.BATCH)
    assert report.counts == Counts(rows_read=4, unchanged=3, unconfirmed=1)
    assert report.verdict is Verdict.PARTIAL


@settings(max_examples=15)
@given(
    segments=SEGMENTS,
    before=st.dictionaries(st.sampled_from([f"{letter}@x.eu" for letter in "abcdef"]), STATUSES),
    answers=st.lists(STRANGE, min_size=8, max_size=8),
    status=st.sampled_from([MemberStatus.SUBSCRIBED, MemberStatus.PENDING, MemberStatus.TRANSACTIONAL]),
    delivery=st.sampled_from(Delivery),
    whole=st.sampled_from([None, RetryableError("lost"), PermanentError("no", status=400)]),
)
def test_the_sum_always_holds(
    in_process: InProcessSandbox,
    tmp_path_factory: pytest.TempPathFactory,
    segments: Sequence[Sequence[str | None]],
    before: dict[str, str],
    answers: Sequence[str],
    status: MemberStatus,
    delivery: Delivery,
    whole: Exception | None,
) -> None:
    """Whoever is in the segments and whatever Mailchimp answers, every row is under exactly one name."""
    in_process.reset()
    in_process.put({"email": email, "status": was} for email, was in before.items())
    life = Life(in_process, ExportFolder(tmp_path_factory.mktemp("sums") / "life"))
    life.script[f"POST {LIST}"] = raising(whole) if whole else lambda request: strange(request, answers)
    life.script["GET /results"] = lambda request: strange_results(life, answers, broken=whole is not None)
    report = ended(life, segments, delivery=delivery, new_member_status=status)
    counts = report.counts
    rows = [address for segment in segments for address in segment]
    valid = [address.strip().lower() for address in rows if address and "@" in address]
    assert counts.adds_up
    assert counts.rows_read == len(rows)
    assert counts.merged == len(valid) - len(set(valid))
    assert sum(report.rejects_by_reason.values()) == counts.rejected
    assert sum(report.suppressed_by_reason.values()) == counts.suppressed
    transactional = {"transactional"} if status is MemberStatus.TRANSACTIONAL else set()
    assert {before.get(email) for email in sent(life)} <= {None, "subscribed"} | transactional


def ended(life: Life, segments: Sequence[Sequence[str | None]], **how: Any) -> Report:
    """Export, whatever stops it, and return the report."""
    tables = {f"S{index}": people(*rows) for index, rows in enumerate(segments)}
    try:
        return life.run(tables, max_reject_ratio=1.0, **how)
    except ExportError:
        return life.report("run1")


def operations(life: Life) -> list[dict[str, Any]]:
    """The operations of all batches."""
    return [
        operation
        for request in life.sent("POST /batches")
        for operation in orjson.loads(request.body or b"")["operations"]
    ]


def sent(life: Life) -> set[str]:
    """Everybody who was sent, by either way."""
    requests = [*life.sent(f"POST {LIST}"), *(_as_request(operation) for operation in operations(life))]
    return {member["email_address"] for request in requests for member in members_of(request)}


def strange_results(life: Life, answers: Sequence[str], *, broken: bool) -> bytes:
    """An archive that answers each operation in a strange way."""
    return to_archive(
        [
            to_result(
                operation["operation_id"], strange(_as_request(operation), answers), 500 if broken else 200
            )
            for operation in operations(life)
        ]
    )


def strange(request: Request, answers: Sequence[str]) -> dict[str, Any]:
    """Answer each member in its own way."""
    answer: dict[str, list[dict[str, Any]]] = {"new_members": [], "updated_members": [], "errors": []}
    for carried, way in zip(members_of(request), answers, strict=False):
        email, status = carried["email_address"], carried["status"]
        taken = {"email_address": email.upper(), "status": status}
        if way in {"as sent", "twice"}:
            answer["new_members"].append(taken)
        if way == "twice":
            answer["updated_members"].append({**taken, "status": "cleaned"})
        if way == "refused":
            answer["errors"].append(
                {"email_address": email, "error": "Please provide a valid email address."}
            )
        if way == "suppressed":
            answer["errors"].append({"email_address": email, "error": f"{email} is in a compliance state"})
        if way == "stranger":
            answer["new_members"].append({"email_address": "stranger@x.eu", "status": status})
        if way in {"unsubscribed", ""}:
            answer["updated_members"].append({"email_address": email, "status": way})
    return answer


def _as_request(operation: dict[str, Any]) -> Request:
    return Request(operation["method"], operation["path"], body=operation["body"].encode())


def test_a_call_that_takes_too_long(life: Life) -> None:
    """A chunk whose call timed out is sent again in halves, though Mailchimp has applied it, and all are there once."""
    life.sandbox.control("faults", {"method": "POST", "path": "/lists/*", "answer": "502", "applied": True})
    report = life.run({"A": many(100)}, delivery=Delivery.DIRECT)
    assert report.counts == Counts(rows_read=100, updated=100)
    assert [len(members_of(request)) for request in life.carriers()] == [100, 50, 50]
    assert len(life.audience()) == 100
