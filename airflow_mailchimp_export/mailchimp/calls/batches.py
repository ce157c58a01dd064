"""Calls for batches, and a call as an operation of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from airflow_mailchimp_export.errors import ConfigError, RetryableError
from airflow_mailchimp_export.mailchimp.calls.shared import LONGEST_STATUS
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from airflow_mailchimp_export.model import Batch


def operation(number: int, request: Request) -> bytes:
    """Return a request as an operation of a batch; its body travels as a JSON string."""
    path = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
    body = {} if request.body is None else {"body": request.body.decode()}
    return orjson.dumps({"method": request.method, "path": path, "operation_id": str(number), **body})


_BATCH_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""How the id of a batch may look: Mailchimp's are ten letters and digits."""


def submit_batch(operations: Iterable[bytes]) -> Call[Batch]:
    """Hand a job over to Mailchimp: https://mailchimp.com/developer/marketing/docs/batch-operations/"""
    body = b'{"operations":[' + b",".join(operations) + b"]}"
    return Call(Request("POST", "/batches", body=body), to_batch, carries_people=True)


def batch(batch_id: str) -> Call[Batch]:
    """Ask how far a job is; each answer carries a fresh link to the results."""
    return Call(Request("GET", _batch(batch_id)), lambda answer: _same_batch(batch_id, to_batch(answer)))


def cancel_batch(batch_id: str) -> Call[None]:
    """Stop a job; what it did stays done, its results are lost."""
    return Call(Request("DELETE", _batch(batch_id)), lambda _: None)


def to_batch(answer: Mapping[str, Any]) -> Batch:
    """Read a job; a young one may lack its counts.

    :raises ValueError: when its id is none.
    """
    batch_id = str(answer["id"])
    if not _BATCH_ID.fullmatch(batch_id):
        raise ValueError("no id of a batch")
    return Batch(
        id=batch_id,
        status=str(answer["status"])[:LONGEST_STATUS],
        total_operations=int(answer.get("total_operations") or 0),
        finished_operations=int(answer.get("finished_operations") or 0),
        errored_operations=int(answer.get("errored_operations") or 0),
        response_body_url=str(answer.get("response_body_url") or ""),
    )


def _same_batch(batch_id: str, answered: Batch) -> Batch:
    if answered.id != batch_id:
        raise RetryableError(f"GET /batches/{batch_id} was answered with another batch")
    return answered


def _batch(batch_id: str) -> str:
    if not _BATCH_ID.fullmatch(batch_id):
        raise ConfigError(
            "What is given as the id of a batch is none: it is up to 64 letters and digits. "
            "Give the ids that the export returned"
        )
    return f"/batches/{batch_id}"
