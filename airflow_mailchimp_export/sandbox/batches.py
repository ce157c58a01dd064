"""``/batches``: submitting, watching and stopping."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.archive import signed_url
from airflow_mailchimp_export.sandbox.batch_state import Batch, BatchStatus, Operation
from airflow_mailchimp_export.sandbox.calls import Answer, Call, to_query
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.planned import FOR_EVER
from airflow_mailchimp_export.sandbox.problems import (
    INVALID_RESOURCE,
    NOT_FOUND,
    TOO_MANY,
    FieldError,
    Refused,
)
from airflow_mailchimp_export.sandbox.reading import (
    BLANK,
    check_kinds,
    kind_of,
    not_accepted,
    require,
    to_object,
    to_page,
)
from airflow_mailchimp_export.sandbox.views import Shape

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
FIELDS = frozenset(
    [
        "id",
        "status",
        "total_operations",
        "finished_operations",
        "errored_operations",
        "submitted_at",
        "completed_at",
        "response_body_url",
        "_links",
    ]
)
SHAPE: Shape = dict.fromkeys(FIELDS)
COLLECTION_SHAPE: Shape = {"batches": FIELDS, "total_items": None, "_links": None}

_OPERATION = {
    "method": str,
    "path": str,
    "params": dict,
    "body": str,
    "operation_id": str,
    "headers": dict,
}


def post_batches(account: Account, call: Call) -> Answer:
    """Take operations for later; the answer knows nothing yet, not even how many they are."""
    body = to_object(call)
    require(body, {"operations": list})
    items = body.get("operations", [])
    errors = [error for place, item in enumerate(items) for error in _errors(item, place)]
    errors += [] if items else [FieldError("operations", BLANK)]
    if errors:
        raise Refused(INVALID_RESOURCE.about(*errors))
    if len(account.batches.pending()) >= account.settings.batch_limit:
        raise Refused(
            TOO_MANY.saying(
                f"You have more than {account.settings.batch_limit} pending batches. "
                "Please wait for some to complete before adding any more batches."
            )
        )
    batch = account.batches.submit([_to_operation(item) for item in items], account.now())
    return Answer(call.view.apply(_to_json(account, batch)))


def get_batches(account: Account, call: Call) -> Answer:
    """The batches of the last days, newest first."""
    _expire(account)
    found = list(account.batches.batches.values())[::-1]
    content = {
        "batches": [_to_json(account, batch) for batch in to_page(call.query).of(found)],
        "total_items": len(found),
        "_links": links(account.api_url, "/batches", "Batches"),
    }
    return Answer(call.view.apply(content), total_items=len(found))


def get_batch(account: Account, call: Call) -> Answer:
    """How far a batch is; each answer has a fresh link to the results."""
    batch = _known(account, call)
    if account.settings.batch_gone and batch.status is BatchStatus.FINISHED:
        raise Refused(NOT_FOUND)
    batch.reads += batch.status is BatchStatus.FINISHED
    batch.invented += account.settings.batch_endless and batch.all_done and not batch.stopped_as
    return Answer(call.view.apply(_to_json(account, batch)))


def delete_batch(account: Account, call: Call) -> Answer:
    """Stop a batch; what was done stays done, but its results are lost."""
    account.batches.stop(_known(account, call), account.settings.batch_stopped_status)
    return Answer()


def _known(account: Account, call: Call) -> Batch:
    _expire(account)
    batch = account.batches.batches.get(call.args["batch_id"])
    if batch is None:
        raise Refused(NOT_FOUND)
    return batch


def _expire(account: Account) -> None:
    account.batches.expire(account.now() - int(account.settings.batch_retention))


def _errors(item: Any, place: int) -> list[FieldError]:
    where = f"operations.item:{place}"
    if not isinstance(item, dict):
        return [FieldError(where, f"Schema describes object, {kind_of(item)} found instead")]
    errors = check_kinds(item, _OPERATION, prefix=f"{where}.")
    errors += [FieldError(f"{where}.{name}", BLANK) for name in ("method", "path") if name not in item]
    if not errors and item["method"] not in METHODS:
        errors = [FieldError(f"{where}.method", not_accepted(METHODS))]
    return errors


def _to_operation(item: dict[str, Any]) -> Operation:
    path, _, query = item["path"].partition("?")
    # Documented as "only used for GET requests": https://mailchimp.com/developer/marketing/api/batch-operations/
    params = item.get("params", {}) if item["method"] == "GET" else {}
    return Operation(
        method=item["method"],
        path=path,
        query=to_query(query) | {name: str(value) for name, value in params.items()},
        body=item.get("body"),
        operation_id=item.get("operation_id"),
    )


def _to_json(account: Account, batch: Batch) -> dict[str, Any]:
    missing = account.settings.batch_without_link
    linked = batch.archive is not None and batch.status is BatchStatus.FINISHED
    if missing == FOR_EVER or (batch.reads <= missing and missing):
        linked = False
    path = f"/batches/{batch.batch_id}"
    relations = [("parent", "..", "GET", "CollectionResponse"), ("self", "", "GET", "Response")]
    return {
        **batch.to_json(),
        "submitted_at": iso(batch.submitted),
        "completed_at": iso(batch.completed),
        "response_body_url": signed_url(account, batch) if linked else "",
        "_links": links(account.api_url, path, "Batches", [*relations, ("delete", "", "DELETE", "")]),
    }
