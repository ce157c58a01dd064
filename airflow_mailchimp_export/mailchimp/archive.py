"""The results of a batch: a tar.gz of JSON files, read as a stream.

https://mailchimp.com/developer/marketing/docs/batch-operations/#get-the-results
There may be several files, empty ones and directory entries, and the results come in any order.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson
from urllib3.exceptions import HTTPError

from airflow_mailchimp_export.errors import RetryableError

_DAMAGE = (
    *(tarfile.TarError, EOFError, zlib.error, OSError, HTTPError),
    *(AttributeError, TypeError, ValueError),  # the content is no list of results
)


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of one operation: its id is the number of the chunk that it carried."""

    operation_id: str
    status: int
    answer: Any

    @property
    def ok(self) -> bool:
        """Whether the operation was carried out."""
        return 200 <= self.status < 300

    @property
    def not_found(self) -> bool:
        """Whether Mailchimp does not know what the operation is about."""
        return self.status == 404


def operation_results(stream: IO[bytes]) -> Iterator[OperationResult]:
    """Yield the results in an archive.

    :raises RetryableError: when the archive is damaged or the connection breaks.
    """
    try:
        # Unpacked here, because tarfile takes the end of a cut-off stream for the end of the archive.
        with gzip.open(stream) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for entry in archive:
                yield from _results_of(archive, entry)
    except _DAMAGE as error:
        raise RetryableError(f"The results of a batch are unreadable ({type(error).__name__})") from error


def _results_of(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[OperationResult]:
    handle = archive.extractfile(entry) if entry.isfile() else None
    content = handle.read() if handle else b""
    if content.strip():
        yield from map(_to_result, orjson.loads(content))


def _to_result(item: dict[str, Any]) -> OperationResult:
    return OperationResult(
        operation_id=str(item.get("operation_id") or ""),
        status=int(item.get("status_code") or 0),
        answer=_to_answer(item.get("response")),
    )


def _to_answer(response: Any) -> Any:
    """Read an answer; ``None`` where it is empty, or a web page because the operation failed on the way."""
    try:
        return orjson.loads(response) if isinstance(response, str) else response
    except orjson.JSONDecodeError:
        return None
