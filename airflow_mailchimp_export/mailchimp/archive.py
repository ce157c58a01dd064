"""The results of a batch: a tar.gz of JSON files, read as a stream.

https://mailchimp.com/developer/marketing/docs/batch-operations/#get-the-results
There may be several files, empty ones and directory entries, and the results come in any order.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson
from urllib3.exceptions import HTTPError

from airflow_mailchimp_export.errors import RetryableError


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of one operation: its id is the number of the chunk that it carried."""

    operation_id: str
    status: int
    answer: Any


def operation_results(stream: IO[bytes]) -> Iterator[OperationResult]:
    """Yield the results in an archive.

    :raises RetryableError: when the archive is damaged or the connection breaks.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for entry in archive:
                yield from _results_of(archive, entry)
    except (tarfile.TarError, EOFError, zlib.error, OSError, HTTPError, ValueError) as error:
        raise RetryableError(f"The results of a batch are unreadable ({type(error).__name__})") from error


def _results_of(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[OperationResult]:
    handle = archive.extractfile(entry) if entry.isfile() else None
    content = handle.read() if handle else b""
    if content.strip():
        yield from map(_to_result, orjson.loads(content))


def _to_result(item: dict[str, Any]) -> OperationResult:
    response = item.get("response")
    return OperationResult(
        operation_id=str(item.get("operation_id") or ""),
        status=int(item.get("status_code") or 0),
        answer=orjson.loads(response) if isinstance(response, str) and response.strip() else response,
    )
