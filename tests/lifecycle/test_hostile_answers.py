"""A corpus of hostile answers: no traceback, no file that does not belong there, nobody lost, in both deliveries."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_mailchimp_export.delivery import batches as delivery_batches
from airflow_mailchimp_export.delivery import results
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.delivery.upserts import Upserter
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.members import read_members, read_tags
from airflow_mailchimp_export.mailchimp.protocol import Response
from airflow_mailchimp_export.model import Delivery, MemberStatus
from airflow_mailchimp_export.state import plan_file
from tests.kit import hostile
from tests.kit.archives import link, to_archive
from tests.kit.exports import AUDIENCE_ID, LIST
from tests.kit.life import Life, one_by_one
from tests.kit.mortal import Killed, kill
from tests.kit.people import many
from tests.kit.sandbox import InProcessClient

ANSWERS = dict(hostile.answers())
PROBLEMS = dict(hostile.problems())
STATUSES = dict(hostile.batches("0123456789"))
ARCHIVES = dict(hostile.archives("0"))
EMPTY = to_archive([])


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each person has a chunk and a batch of their own, so that one run takes a corpus."""
    monkeypatch.setattr(plan_file, "MAX_CHUNK_MEMBERS", 1)
    monkeypatch.setattr(delivery_batches, "MAX_BATCH_PEOPLE", 1)
    monkeypatch.setattr(results, "DOWNLOADS", 1)


@pytest.fixture(autouse=True)
def nothing_strays(tmp_path: Path) -> Iterator[None]:
    """No answer has a file written outside exports_root, or under a name of its own."""
    yield
    assert [path.name for path in tmp_path.iterdir()] in ([], ["exports"])
    assert not [path for path in tmp_path.rglob("*") if hostile.STRAY in path.name]
    assert not Path("/tmp", hostile.STRAY).exists()


@contextmanager
def only_our_errors(name: str) -> Iterator[None]:
    """Fail on any error that is not ours, and on one whose words quote what was answered."""
    try:
        yield
    except ExportError as error:
        check_words(name, str(error), "".join(traceback.format_exception(error)))
    except Exception as error:
        pytest.fail(f"{name}: {type(error).__name__}: {error}")


def check_words(name: str, words: str, trace: str) -> None:
    """Let no error quote an address, or page after page."""
    assert "@" not in words, name
    assert "brieftaube" not in trace, name
    assert "x" * 2_000 not in trace, name


def test_there_are_enough_of_them() -> None:
    """The corpus has hundreds of answers for each delivery."""
    assert len(ANSWERS) + len(PROBLEMS) >= 200
    assert len(ANSWERS) + len(ARCHIVES) + len(STATUSES) >= 200


def test_direct_delivery(life: Life) -> None:
    """Whatever a call is answered, it has outcomes or an error of ours, and every row is accounted for."""
    given: list[Response] = []
    makes: list[Callable[[str], Response]] = [
        *(_succeeding(make) for make in ANSWERS.values()),
        *(_constant(problem) for problem in PROBLEMS.values()),
    ]
    names = [*ANSWERS, *PROBLEMS]
    with suppress(Killed):
        life.submit({"S": many(len(names))}, permit=one_by_one(None, *[kill] * 20))
    run = life.folder.run("run1")
    client = InProcessClient(life.sandbox, script={f"POST {LIST}": lambda request: given[-1]})
    gateway = Gateway(client, lambda: None)
    shipment = Shipment(run, gateway)
    with shipment.open_chunks() as chunks:
        for name, make, chunk in zip(names, makes, chunks.upserts, strict=True):
            given.append(make(chunk.members[0].email))
            with only_our_errors(name):
                shipment.keep(chunk, Upserter(gateway, AUDIENCE_ID).upsert(chunk))
    report = life.finalize(run)
    assert report.counts.adds_up
    assert report.counts.rows_read == len(names)


@pytest.mark.parametrize("corpus", [ANSWERS, ARCHIVES, STATUSES], ids=["answers", "archives", "statuses"])
def test_batch_delivery(life: Life, corpus: Mapping[str, object]) -> None:
    """Whatever a batch and its results say, it is read or left unconfirmed, and every row is accounted for."""
    names = list(corpus)
    with suppress(Killed):
        life.submit({"S": many(len(names))}, permit=one_by_one(None, *[kill] * 20), delivery=Delivery.BATCH)
    run = life.folder.run("run1")
    emails = [f"p{number:06d}@mail.eu" for number in range(len(names))]
    script: dict[str, Any] = {}
    for number, name in enumerate(names):
        script |= _batch_script(number, name, emails[number])
    results_by_link = {link(f"b{number}"): made for number, made in _results(names, emails)}
    taken = iter(range(len(names)))
    script["POST /batches"] = lambda request: {"id": f"b{next(taken)}", "status": "pending"}
    script[f"POST {LIST}"] = lambda request: Response(400, {}, b"{}")
    client = _Client(life, script, results_by_link)
    gateway = Gateway(client, lambda: None, sleep=lambda seconds: None)
    with only_our_errors("deliver"):
        delivery_batches.BatchDelivery(gateway).deliver(run, on_batch=lambda batch_id: None)
    assert len(run.batches) == len(names)
    with only_our_errors("finalize"):
        report = life.finalize(run, client=client)
    assert report.counts.adds_up
    assert report.counts.rows_read == len(names)
    assert {request.path for request in client.requests} >= {
        f"/batches/b{number}" for number in range(len(names))
    }


LOOKUPS: dict[str, Callable[[Gateway], object]] = {
    "GET /": lambda gateway: gateway.send(calls.account()),
    f"GET {LIST}": lambda gateway: gateway.send(calls.audience(AUDIENCE_ID)),
    f"GET {LIST}/merge-fields": lambda gateway: gateway.send(calls.merge_fields(AUDIENCE_ID)),
    f"GET {LIST}/tag-search": lambda gateway: read_tags(gateway, AUDIENCE_ID),
    f"GET {LIST}/members": lambda gateway: list(
        read_members(gateway, AUDIENCE_ID, MemberStatus.UNSUBSCRIBED)
    ),
    "POST /batches": lambda gateway: gateway.send(calls.submit_batch([b"{}"])),
    f"POST {LIST}/segments/1": lambda gateway: gateway.send(calls.untag(AUDIENCE_ID, 1, ["a@b.eu"])),
}

LOOKED_UP = ("members", "total_items", "tags", "merge_fields", "id", "account_name", "stats", "errors")


@pytest.mark.parametrize("path", LOOKUPS)
def test_lookups(life: Life, path: str) -> None:
    """Whatever a look into the account or the audience is answered, it ends in a value or an error of ours."""
    given: list[Response] = []
    gateway = Gateway(InProcessClient(life.sandbox, script={path: lambda request: given[-1]}), lambda: None)
    for name, answer in _lookups():
        given.append(answer)
        with only_our_errors(name):
            LOOKUPS[path](gateway)


def _lookups() -> Iterator[tuple[str, Response]]:
    for number, value in enumerate(hostile.VALUES):
        yield f"all {number}", _as_response(value)
        for name in LOOKED_UP:
            good = {
                "members": [],
                "total_items": 0,
                "tags": [],
                "merge_fields": [],
                "id": "a",
                "status": "pending",
            }
            yield f"{name} {number}", _as_response({**good, name: value})
            yield f"{name} item {number}", _as_response({**good, name: [value, {"id": value, "name": value}]})
    for number, content in enumerate(hostile.NO_JSON):
        yield f"no JSON {number}", Response(200, {}, content)


class _Client(InProcessClient):
    """A client that is answered by a script, also where it downloads."""

    def __init__(self, life: Life, script: dict[str, Any], results: dict[str, bytes]) -> None:
        super().__init__(life.sandbox, script=script)
        self._results = results

    @contextmanager
    def download(self, url: str) -> Iterator[Any]:
        """Hand out the results behind a link; another link is opened as any is."""
        if url not in self._results:
            with super(InProcessClient, self).download(url):
                pytest.fail(f"{url[:50]} leads somewhere")
        yield io.BytesIO(self._results[url])


def _batch_script(number: int, name: str, email: str) -> dict[str, Any]:
    said = dict(hostile.batches(f"b{number}"))[name] if name in STATUSES else None
    known = {"id": f"b{number}", "status": "finished", "response_body_url": link(f"b{number}")}
    answer = said if name in STATUSES else known
    return {f"GET /batches/b{number}": lambda request: _as_response(answer)}


def _results(names: list[str], emails: list[str]) -> Iterator[tuple[int, bytes]]:
    for number, name in enumerate(names):
        if name in ANSWERS:
            text = ANSWERS[name](emails[number]).decode("utf-8", "replace")
            item = {"status_code": 200, "operation_id": str(number), "response": text}
            yield number, to_archive([item])
        else:
            yield number, ARCHIVES.get(name, EMPTY)


def _as_response(answer: Any) -> Response:
    return Response(200, {}, orjson.dumps(answer))


def _succeeding(make: hostile.Answer) -> Callable[[str], Response]:
    return lambda email: Response(200, {}, make(email))


def _constant(response: Response) -> Callable[[str], Response]:
    return lambda email: response
