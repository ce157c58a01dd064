"""What Mailchimp says of a batch that is over, and the archive of its results."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

import orjson


def finished(batch_id: str, **changes: Any) -> dict[str, Any]:
    """A batch that is over, as Mailchimp tells it."""
    return {"id": batch_id, "status": "finished", "response_body_url": link(batch_id), **changes}


def link(batch_id: str) -> str:
    """Where the results of a batch are."""
    return f"https://storage.invalid/{batch_id}"


def to_result(operation_id: str, payload: Any, status: int = 200) -> dict[str, Any]:
    """What became of an operation, as an archive holds it: the answer is a JSON string."""
    return {"status_code": status, "operation_id": operation_id, "response": orjson.dumps(payload).decode()}


def to_archive(*files: Iterable[Mapping[str, Any]] | bytes) -> bytes:
    """A result archive: ``./`` and a file for each list of results, or of these very bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, content in enumerate(files):
            data = content if isinstance(content, bytes) else orjson.dumps(list(content))
            entry = tarfile.TarInfo(f"./{number}.json")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)
