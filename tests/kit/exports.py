"""Exports in memory: who asks for what, and a Mailchimp that takes everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mailchimp_export.definition import ExportDefinition, RunContext, RunIdentity
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.state.manifest import Manifest, SegmentTally, Tallies
from airflow_mailchimp_export.state.run import RunFolder
from tests.kit.archives import finished, link, to_archive, to_result
from tests.kit.client import FakeClient, members_of
from tests.kit.people import hash_of

AUDIENCE_ID = "a1b2c3d4e5"
LIST = f"/lists/{AUDIENCE_ID}"
WHO = RunIdentity(
    run_id="manual__1", dag_id="dag", export_user="Ada Lovelace", started_at="2026-01-02T03:04:05+00:00"
)

_PARTS = frozenset({"name", "audience_id", "delivery", "on_leave", "dry_run", "full", "contact_limit"})

MANIFEST = Manifest(
    export="export",
    run_id="manual__1",
    dag_id="dag",
    audience_id=AUDIENCE_ID,
    export_user="Ada Lovelace",
    started_at="2026-01-02T03:04:05+00:00",
    planned_at="2026-01-02T03:05:06+00:00",
    delivery=Delivery.BATCH,
    skip_merge_validation=False,
    max_reject_ratio=0.5,
    dry_run=False,
    keep_runs=30,
    ledger_version=0,
    segments=(SegmentTally("A", "a", 0), SegmentTally("B", "b", 0)),
    warnings=(),
    tallies=Tallies(0),
)


class FakeMailchimp(FakeClient):
    """One audience that takes everybody, in memory.

    :ivar standing: status by address, before and after.
    :ivar tags: tags by address.
    """

    def __init__(self, standing: Mapping[str, str] | None = None, *, max_connections: int = 2) -> None:
        super().__init__(
            {
                f"GET {LIST}": lambda _: {"id": AUDIENCE_ID, "name": "Audience"},
                f"GET {LIST}/merge-fields": lambda _: {"merge_fields": self.merge_fields},
                f"POST {LIST}/merge-fields": self._create_merge_field,
                f"GET {LIST}/members": self._members,
                f"GET {LIST}/tag-search": self._tag_search,
                f"POST {LIST}": self.upsert,
                "POST /batches": self._submit,
            },
            max_connections=max_connections,
        )
        self.merge_fields: list[dict[str, Any]] = [{"tag": "FNAME", "name": "First name", "type": "text"}]
        self.standing = dict(standing or {})
        self.tags: dict[str, set[str]] = {}
        self.tag_ids: dict[str, int] = {}
        self.batches: dict[str, list[dict[str, Any]]] = {}

    def upsert(self, request: Request) -> dict[str, Any]:
        """Take the members of one request."""
        new, updated = [], []
        for member in members_of(request):
            email = member["email_address"]
            (updated if email in self.standing else new).append(
                {"email_address": email, "status": member["status"]}
            )
            self.standing[email] = member["status"]
            self.tags.setdefault(email, set()).update(member.get("tags", ()))
        return {"new_members": new, "updated_members": updated, "errors": []}

    def has_tag(self, tag: str, tag_id: int) -> None:
        """Give a tag an id, by which it can be read and taken away."""
        path = f"{LIST}/segments/{tag_id}"
        self.tag_ids[tag] = tag_id
        self.answers[f"GET {path}/members"] = lambda request: self._page(
            request, [email for email, tags in self.tags.items() if tag in tags]
        )
        self.answers[f"POST {path}"] = lambda request: self._untag(request, tag)

    def tagged(self, tag: str) -> set[str]:
        """Who carries a tag."""
        return {email for email, tags in self.tags.items() if tag in tags}

    def statuses_read(self) -> list[str]:
        """The statuses whose members were read, page by page; counts are left out."""
        queries = [dict(request.query) for request in self.sent(f"GET {LIST}/members")]
        return [query["status"] for query in queries if query["count"] != "1"]

    def _members(self, request: Request) -> dict[str, Any]:
        query = dict(request.query)
        return self._page(
            request, [email for email, status in self.standing.items() if status == query["status"]]
        )

    def _page(self, request: Request, people: Iterable[str]) -> dict[str, Any]:
        query, found = dict(request.query), sorted(people)
        page = found[int(query["offset"]) :][: int(query["count"])]
        return {
            "members": [{"id": hash_of(email), "email_address": email} for email in page],
            "total_items": len(found),
        }

    def _tag_search(self, request: Request) -> dict[str, Any]:
        return {"tags": [{"name": tag, "id": tag_id} for tag, tag_id in self.tag_ids.items()]}

    def _untag(self, request: Request, tag: str) -> dict[str, Any]:
        for email in json.loads(request.body or b"")["members_to_remove"]:
            self.tags[email].discard(tag)
        return {"errors": []}

    def _create_merge_field(self, request: Request) -> dict[str, Any]:
        created: dict[str, Any] = json.loads(request.body or b"")
        self.merge_fields.append(created)
        return created

    def _submit(self, request: Request) -> dict[str, Any]:
        batch_id = f"batch{len(self.batches)}"
        self.batches[batch_id] = json.loads(request.body or b"")["operations"]
        self.answers[f"GET /batches/{batch_id}"] = lambda _: finished(batch_id)
        self.answers[f"DELETE /batches/{batch_id}"] = lambda _: None
        self.downloads[link(batch_id)] = lambda: to_archive(map(self.operate, self.batches[batch_id]))
        return {"id": batch_id, "status": "pending"}

    def operate(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one operation of a batch."""
        path = operation["path"].partition("?")[0]
        request = Request(operation["method"], path, body=operation["body"].encode())
        carry_out = self.upsert if path == LIST else self.answers[f"{request.method} {path}"]
        return to_result(operation["operation_id"], carry_out(request))


def define(
    segments: Mapping[str, Any], *, field_map: Mapping[str, Any] | None = None, **how: Any
) -> ExportDefinition:
    """Say what an export is asked to do; what is no part of the definition is an option."""
    parts = {name: how.pop(name) for name in _PARTS & how.keys()}
    return ExportDefinition(
        **{"name": "export", "audience_id": AUDIENCE_ID, "delivery": Delivery.DIRECT, **parts},
        segments=parse_segments(segments),
        field_map=parse_field_map(field_map or {"EMAIL": "email"}),
        options=ExportOptions(**how),
    )


def export(
    client: Any,
    folder: RunFolder,
    segments: Mapping[str, Any],
    *,
    field_map: Mapping[str, Any] | None = None,
    delivery: Delivery = Delivery.DIRECT,
    permit: Callable[[], None] = lambda: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: Any,
) -> Export:
    """Make an export of data in memory or in files; what is no part of the definition is an option."""
    return Export(
        RunContext(
            definition=define(segments, field_map=field_map, delivery=delivery, **options),
            identity=WHO,
            gateway=gateway(client, permit, now=now),
            folder=folder,
            path_factory=plain_path,
        )
    )


def gateway(
    client: Any,
    permit: Callable[[], None] = lambda: None,
    *,
    sleep: Callable[[float], None] = lambda seconds: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Gateway:
    """Make the way to a client; it does not wait unless told how."""
    return Gateway(client, permit, sleep=sleep, now=now)


def run_folder(tmp_path: Path) -> RunFolder:
    """Make a folder for a run."""
    return RunFolder(tmp_path / "exports" / "run")
