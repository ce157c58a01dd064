"""Stand-ins for what the core talks to: Mailchimp's client, a source, a clock."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from airflow_mailchimp_export.definition import ExportDefinition, RunIdentity
from airflow_mailchimp_export.errors import FieldProblem, NotFound, PermanentError, RetryableError
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from airflow_mailchimp_export.model import Chunk, Delivery, Member, MemberStatus
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.state.manifest import Manifest, SegmentTally, Tallies
from airflow_mailchimp_export.state.run import RunFolder

AUDIENCE_ID = "a1b2c3d4e5"
LIST = f"/lists/{AUDIENCE_ID}"
WHO = RunIdentity(
    run_id="manual__1", dag_id="dag", export_user="Ada Lovelace", started_at="2026-01-02T03:04:05+00:00"
)

_DEFINED = frozenset({"contact_limit", "on_leave", "dry_run", "full"})

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

Answer = Callable[[Request], Any]


class FakeClient:
    """Answers calls out of functions, one for each method and path; what they raise, it raises.

    :ivar requests: all requests in the order of their arrival.
    :ivar most_in_flight: how many were under way at the same time, at most.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        max_connections: int = 4,
        downloads: Mapping[str, Callable[[], bytes]] | None = None,
    ) -> None:
        self.answers = dict(answers or {})
        self.downloads = dict(downloads or {})
        self.max_connections = max_connections
        self.requests: list[Request] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()

    def send(self, call: Call[Any]) -> Any:
        """Answer one call."""
        request = call.request
        with self._lock:
            self.requests.append(request)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return call.read(self.answers[f"{request.method} {request.path}"](request))
        finally:
            with self._lock:
                self._in_flight -= 1

    @contextmanager
    def download(self, url: str) -> Iterator[IO[bytes]]:
        """Hand out an archive."""
        yield io.BytesIO(self.downloads[url]())

    def sent(self, method_and_path: str) -> list[Request]:
        """The requests of one kind."""
        return [request for request in self.requests if f"{request.method} {request.path}" == method_and_path]


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
        self.downloads[link(batch_id)] = lambda: archive(map(self.operate, self.batches[batch_id]))
        return {"id": batch_id, "status": "pending"}

    def operate(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one operation of a batch."""
        path = operation["path"].partition("?")[0]
        request = Request(operation["method"], path, body=operation["body"].encode())
        carry_out = self.upsert if path == LIST else self.answers[f"{request.method} {path}"]
        return result(operation["operation_id"], carry_out(request))


@dataclass
class FakeSource:
    """A segment out of given batches; ``breaks`` is raised behind the last of them."""

    segment: str
    tables: Sequence[pa.Table]
    breaks: Exception | None = None
    schema: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        """Take the schema of the first table."""
        self.schema = self.tables[0].schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of each table."""
        for table in self.tables:
            yield from table.to_batches()
        if self.breaks:
            raise self.breaks

    def locate(self, row: int) -> str:
        """Say which row it is."""
        return f"{self.segment} row {row + 1}"

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeClock:
    """A clock that goes only when it is told to; sleeping tells it."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Consent:
    """Permits so many requests, and refuses all further ones."""

    error: Exception
    permits: int
    asked: int = 0

    def __call__(self) -> None:
        """Let pass, or stop."""
        self.asked += 1
        if self.asked > self.permits:
            raise self.error


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
    defined = {name: options.pop(name) for name in _DEFINED & options.keys()}
    return Export(
        ExportDefinition(
            name="export",
            audience_id=AUDIENCE_ID,
            segments=parse_segments(segments),
            field_map=parse_field_map(field_map or {"EMAIL": "email"}),
            delivery=delivery,
            options=ExportOptions(**options),
            **defined,
        ),
        WHO,
        gateway=gateway(client, permit, now=now),
        folder=folder,
        path_factory=plain_path,
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


def emails(*addresses: str | None) -> pa.Table:
    """Make a table of addresses only."""
    return pa.table({"email": pa.array(addresses, pa.string())})


def many(count: int, *, start: int = 0, domain: str = "mail.eu") -> pa.Table:
    """Make a table of so many different addresses."""
    return emails(*(f"p{number:06d}@{domain}" for number in range(start, start + count)))


def member(email: str, status: MemberStatus = MemberStatus.SUBSCRIBED, *, bulk: int = 0) -> Member:
    """Make a member; ``bulk`` makes its payload so many bytes longer."""
    payload = json.dumps({"email_address": email, "status": status, **({"x": "x" * bulk} if bulk else {})})
    return Member(hash_of(email), email, status, payload.encode())


def chunk(number: int, *addresses: str) -> Chunk:
    """Make a chunk of members with these addresses."""
    return Chunk(number, tuple(map(member, addresses)))


def members_of(request: Request) -> list[dict[str, Any]]:
    """The members that a request carries."""
    carried: list[dict[str, Any]] = json.loads(request.body or b"")["members"]
    return carried


def accepted(request: Request) -> dict[str, Any]:
    """Answer that all members of a request were created."""
    return {"new_members": [_plain(carried) for carried in members_of(request)]}


def _plain(carried: Mapping[str, Any]) -> dict[str, Any]:
    return {"email_address": carried["email_address"], "status": carried["status"]}


def refusal(status: int = 400, *, words: str = "", field: str = "", message: str = "") -> PermanentError:
    """Make the error that stands for a refused request."""
    problems = [FieldProblem(field, message)] if field or message else []
    if status == 404:
        return NotFound("answered 404", words=words, problems=problems)
    return PermanentError(f"answered {status}", status=status, words=words, problems=problems)


def raising(error: Exception) -> Answer:
    """Answer every request with an error."""

    def answer(request: Request) -> Any:
        raise error

    return answer


def in_turn(*steps: Any) -> Callable[..., Any]:
    """Answer the first time with the first step, and so on; the last one stays; errors are raised."""
    left = list(steps)

    def answer(*_: object) -> Any:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Exception):
            raise step
        return step

    return answer


def hash_of(email: str) -> str:
    """Mailchimp's id of a member."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def link(batch_id: str) -> str:
    """Where the results of a batch are."""
    return f"https://storage.invalid/{batch_id}"


def finished(batch_id: str, **changes: Any) -> dict[str, Any]:
    """A batch that is over, as Mailchimp tells it."""
    return {"id": batch_id, "status": "finished", "response_body_url": link(batch_id), **changes}


def result(operation_id: str, answer: Any, status: int = 200) -> dict[str, Any]:
    """One entry of an archive."""
    return {"status_code": status, "operation_id": operation_id, "response": json.dumps(answer)}


def archive(*files: Iterable[Mapping[str, Any]]) -> bytes:
    """Pack results as Mailchimp does: one JSON file for each list of results."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for number, results in enumerate(files):
            content = json.dumps(list(results)).encode()
            entry = tarfile.TarInfo(f"./{number}.json")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def out_of_reach() -> RetryableError:
    """Make the error of a call that was given up."""
    return RetryableError("POST request failed on the way: ConnectionError")


def run_folder(tmp_path: Path) -> RunFolder:
    """Make a folder for a run."""
    return RunFolder(tmp_path / "exports" / "run")
