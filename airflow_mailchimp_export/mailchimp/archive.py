"""The results of a batch: a tar.gz of JSON files, read as a stream.

https://mailchimp.com/developer/marketing/docs/batch-operations/#get-the-results
There may be several files, empty ones and directory entries, and the results come in any order.
Only what is in regular files is read, and nothing is ever unpacked to a disk, so their names mean nothing.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

import orjson
from urllib3.exceptions import HTTPError

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.web.bounded import BoundedStream, TooMuch, parsed

MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
"""Most bytes of the results of a batch, unpacked: those of 20,000 members have some 70 MB."""

_DAMAGE = (
    *(tarfile.TarError, EOFError, zlib.error, OSError, HTTPError),
    RecursionError,  # headers that announce headers without end
    *(
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ),  # the content is no list of results
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


def operation_results(stream: IO[bytes], *, most: int = MAX_ARCHIVE_BYTES) -> Iterator[OperationResult]:
    """Yield the results in an archive.

    :param most: bytes that are unpacked of it.
    :raises RetryableError: when the archive is damaged or too large, or the connection breaks.
    """
    try:
        # Unpacked here, because tarfile takes the end of a cut-off stream for the end of the archive.
        with gzip.open(stream) as unpacked:
            bounded = cast("IO[bytes]", BoundedStream(cast("IO[bytes]", unpacked), most))
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                for entry in archive:
                    # So that the entries before are not kept: there may be millions of empty ones.
                    archive.members = []  # type: ignore[attr-defined]
                    yield from _results_of(archive, entry, most)
    except TooMuch as error:
        raise RetryableError(f"The results of a batch are larger than any that are known ({error})") from None
    except _DAMAGE as error:
        # Not from the error: its words may quote what the archive holds.
        raise RetryableError(f"The results of a batch are unreadable ({type(error).__name__})") from None


def _results_of(archive: tarfile.TarFile, entry: tarfile.TarInfo, most: int) -> Iterator[OperationResult]:
    # A sparse file is as large as it says, however little of it is there.
    if entry.size > most:
        raise TooMuch(f"more than {most:,} bytes")
    handle = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
    content = handle.read() if handle else b""
    if content.strip():
        yield from map(_to_result, parsed(content))


def _to_result(item: dict[str, Any]) -> OperationResult:
    return OperationResult(
        operation_id=_to_id(item.get("operation_id")),
        status=int(item.get("status_code") or 0),
        answer=_to_answer(item.get("response")),
    )


def _to_id(given: Any) -> str:
    return "" if given is None else str(given)


def _to_answer(response: Any) -> Any:
    """Read an answer; ``None`` where it is empty, or a web page because the operation failed on the way."""
    try:
        return parsed(response.encode()) if isinstance(response, str) else response
    except orjson.JSONDecodeError:
        return None
