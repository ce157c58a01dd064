"""What the workers share, and nothing besides: a folder, or an object store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.integration.stores.servers import BUCKET, S3, start_store

FOLDER, S3_STORE = "folder", "s3"


def missing_for(storage: str) -> str:
    """Say what is not here for a storage."""
    if storage == FOLDER:
        return "`make services` runs this with a folder" if "MAILCHIMP_STORES" in os.environ else ""
    absent = S3.missing()
    return f"not installed: {absent}; `make stores` brings it" if absent else ""


@contextmanager
def settings_of(storage: str, folder: Path) -> Iterator[dict[str, str]]:
    """Start what a storage needs; what has to be in ``.env`` for it."""
    if storage == FOLDER:
        yield {}
        return
    store = start_store(S3, folder)
    try:
        address = json.loads(store.connection)["extra"]["endpoint_url"]
        requests.put(f"{address}/{BUCKET}", timeout=30).raise_for_status()
        yield {
            "AIRFLOW_CONN_OBJECT_STORE": store.connection,
            "EXPORTS_ROOT": f"s3://object_store@{BUCKET}/exports",
            "SEGMENT_SNAPSHOTS": f"s3://object_store@{BUCKET}/segments",
        }
    finally:
        store.service.stop()
