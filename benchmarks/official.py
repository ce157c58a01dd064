"""What is compared with: the official client, used as its documentation shows, without what an export adds.

It reads nobody's status first, repeats nothing, and accounts for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from hashlib import md5
from typing import Any

import pyarrow.parquet as pq

CHUNK = 500
THREADS = 10
TAG = "Everybody"


def send_in_bulk(task: Mapping[str, Any]) -> dict[str, Any]:
    """Send 500 people at a time, one call after the other.

    https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/
    """
    client = _client(task)

    def send(rows: list[dict[str, Any]]) -> None:
        members = [{**_member(row), "status": "subscribed", "tags": [TAG]} for row in rows]
        client.lists.batch_list_members(task["audience_id"], {"members": members, "update_existing": True})

    return _timed(map(send, _chunks(task["profiles"])))


def send_one_by_one(task: Mapping[str, Any]) -> dict[str, Any]:
    """Send one person a call, by a pool of threads; a tag would take a second call.

    https://mailchimp.com/developer/marketing/api/list-members/add-or-update-list-member/
    """
    client = _client(task)

    def send(row: dict[str, Any]) -> None:
        key = md5(row["email"].lower().encode(), usedforsecurity=False).hexdigest()
        client.lists.set_list_member(
            task["audience_id"], key, {**_member(row), "status_if_new": "subscribed"}
        )

    with ThreadPoolExecutor(THREADS) as pool:
        rows = (row for chunk in _chunks(task["profiles"]) for row in chunk)
        return _timed(pool.map(send, rows))


def _client(task: Mapping[str, Any]) -> Any:
    from mailchimp_marketing import Client

    client = Client({"api_key": task["key"], "server": "us0"})
    client.api_client.host = f"{task['url']}/3.0"
    return client


def _timed(sending: Iterable[None]) -> dict[str, Any]:
    begin = time.monotonic()
    calls = sum(1 for _ in sending)
    return {"wall": time.monotonic() - begin, "calls": calls, "verdict": "success"}


def _chunks(profiles: str) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(profiles) as file:
        for batch in file.iter_batches(CHUNK):
            yield batch.to_pylist()


def _member(row: Mapping[str, Any]) -> dict[str, Any]:
    birthday: date = row["birthday"]
    fields = {
        "FNAME": row["first_name"],
        "LNAME": row["last_name"],
        "BIRTHDAY": f"{birthday:%m/%d}",
    }
    return {"email_address": row["email"], "merge_fields": fields}
