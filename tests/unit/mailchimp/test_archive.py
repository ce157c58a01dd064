"""Result archives, as Mailchimp makes them and as they are spoilt on the way."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp.archive import OperationResult, operation_results
from airflow_mailchimp_export.web.bounded import TooMuch, parsed
from tests.kit.archives import to_archive, to_result


def read(archive: bytes) -> list[OperationResult]:
    """All results in an archive."""
    return list(operation_results(io.BytesIO(archive)))


class Breaking(io.RawIOBase):
    """A download that breaks after some bytes."""

    def __init__(self, data: bytes, error: Exception) -> None:
        self._data = io.BytesIO(data)
        self._error = error

    def read(self, size: int = -1) -> bytes:
        """Some bytes, and then the error."""
        data = self._data.read(size)
        if not data:
            raise self._error
        return data


def test_several_files() -> None:
    """The results of all files come one after the other, in whichever order Mailchimp put them."""
    archive = to_archive([to_result("2", {"a": 1}), to_result("0", {})], [to_result("1", [])])
    assert read(archive) == [
        OperationResult("2", 200, {"a": 1}),
        OperationResult("0", 200, {}),
        OperationResult("1", 200, []),
    ]


@pytest.mark.parametrize("empty", [b"", b" \n", b"[]"])
def test_empty_files(empty: bytes) -> None:
    """An empty file, and the folder's own entry, hold no results."""
    assert read(to_archive(empty, [to_result("1", {})], empty)) == [OperationResult("1", 200, {})]
    assert read(to_archive(empty)) == []


def test_no_files() -> None:
    """An archive of no operations holds no results."""
    assert read(to_archive()) == []


def test_other_entries() -> None:
    """Links and folders inside an archive are passed over."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, kind in (("./folder", tarfile.DIRTYPE), ("link.json", tarfile.SYMTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "elsewhere.json"
            archive.addfile(entry)
    assert read(packed.getvalue()) == []


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("null", None),
        ('{"total_created":1}', {"total_created": 1}),
        ({"total_created": 1}, {"total_created": 1}),
        ("<html>502 Bad Gateway</html>", None),
    ],
)
def test_answers(response: object, answer: object) -> None:
    """An answer is read from its JSON string; where it is empty, or a web page, there is none."""
    archive = to_archive([{"status_code": 200, "operation_id": "7", "response": response}])
    assert read(archive) == [OperationResult("7", 200, answer)]


def test_one_operation_that_failed_on_the_way() -> None:
    """A web page in place of one answer does not spoil the answers beside it."""
    page: dict[str, Any] = {"status_code": 502, "operation_id": "0", "response": "<html>Bad Gateway</html>"}
    results = read(to_archive([page, to_result("1", {"a": 1}), to_result("2", {}, status=400)]))
    assert [(result.operation_id, result.status, result.answer) for result in results] == [
        ("0", 502, None),
        ("1", 200, {"a": 1}),
        ("2", 400, {}),
    ]


@pytest.mark.parametrize("item", [{}, {"operation_id": None, "status_code": None}, {"operation_id": ""}])
def test_lacking_ids(item: dict[str, Any]) -> None:
    """A result without id and status is a result anyway, of nobody knows what."""
    assert read(to_archive([item])) == [OperationResult("", 0, None)]


@pytest.mark.parametrize(
    "content",
    [b'{"status_code":200}', b"7", b"null", b'"text"', b"[7]", b"[null]", b'["text"]', b"[", b"<html></html>"]
    + [orjson.dumps([{"status_code": status}]) for status in ("OK", [1], {"a": 1})],
)
def test_wrong_content(content: bytes) -> None:
    """A file that is no list of results makes the archive unreadable."""
    with pytest.raises(RetryableError, match=r"^The results of a batch are unreadable \(\w+\)$"):
        read(to_archive([to_result("1", {})], content))


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"<html>Sorry</html>",
        b'{"error":"expired"}',
        gzip.compress(b"", mtime=0),
        gzip.compress(b"no tar file" * 100, mtime=0),
        gzip.decompress(to_archive([])),
        to_archive([])[:3],
    ],
    ids=["nothing", "page", "json", "empty", "no tar", "unpacked", "three bytes"],
)
def test_what_is_no_archive(archive: bytes) -> None:
    """What is no tar.gz at all is unreadable."""
    with pytest.raises(RetryableError, match="unreadable"):
        read(archive)


LARGE = to_archive(
    *([to_result(str(number), {"x": bytes(range(40, 120)).decode() * number})] for number in range(60))
)


@settings(deadline=None)
@given(st.integers(0, len(LARGE) - 1))
def test_truncated_archives(length: int) -> None:
    """An archive that was cut off is unreadable or complete: it never passes with some of its results."""
    try:
        results = read(LARGE[:length])
    except RetryableError:
        return
    assert len(results) == 60


def test_cut_off_between_two_files() -> None:
    """The end of the stream between two files is no end of the archive."""
    packer = io.BytesIO()
    unpacked = gzip.decompress(to_archive([to_result("0", {})], [to_result("1", {})]))
    with gzip.GzipFile(fileobj=packer, mode="wb", mtime=0) as packed:
        packed.write(unpacked[: 3 * tarfile.BLOCKSIZE])
        packed.flush()
        cut_off = packer.getvalue()
    with pytest.raises(RetryableError, match=r"unreadable \(EOFError\)"):
        read(cut_off)


@settings(deadline=None)
@given(st.integers(20, len(LARGE) - 9), st.integers(1, 255))
def test_damaged_archives(place: int, difference: int) -> None:
    """A damaged byte ends in our error or in nothing worse than other content."""
    damaged = bytearray(LARGE)
    damaged[place] ^= difference
    with suppress(RetryableError):
        assert len(read(bytes(damaged))) <= 60


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("IncompleteRead"),
        ReadTimeoutError(None, "https://results.invalid/?Signature=secret", "Read timed out."),  # type: ignore[arg-type]
        ConnectionResetError("reset"),
        TimeoutError("timed out"),
    ],
)
def test_a_broken_download(error: Exception) -> None:
    """A connection that breaks under the reader is our error, and does not quote the link."""
    with pytest.raises(RetryableError, match=rf"unreadable \({type(error).__name__}\)$"):
        list(operation_results(Breaking(LARGE[:2000], error)))  # type: ignore[arg-type]


def test_results_come_as_a_stream() -> None:
    """The first results are there before the rest of the archive has arrived."""
    noise = random.Random(0).randbytes(500_000).hex()
    archive = to_archive([to_result("0", {})], [to_result("1", noise)])
    results = operation_results(Breaking(archive[:400_000], ConnectionResetError()))  # type: ignore[arg-type]
    assert next(results).operation_id == "0"
    with pytest.raises(RetryableError, match="ConnectionResetError"):
        next(results)


def with_entry(entry: tarfile.TarInfo, content: bytes) -> io.BytesIO:
    """An archive that goes on with something behind the header of an entry."""
    return io.BytesIO(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + content, 1))


class TestBounds:
    """No archive is read without end, nor kept in memory as it comes."""

    def test_one_that_unpacks_to_much(self) -> None:
        """What unpacks to more than any results have is given up on the way there."""
        entry = tarfile.TarInfo("0.json")
        entry.size = 8_000_000
        with pytest.raises(
            RetryableError, match=r"larger than any that are known .more than 5,000,000 bytes"
        ):
            list(operation_results(with_entry(entry, bytes(8_000_000)), most=5_000_000))

    def test_an_entry_that_says_it_is_huge(self) -> None:
        """What an entry says of its size is not made room for."""
        entry = tarfile.TarInfo("0.json")
        entry.size = 8**11 - 1
        with pytest.raises(RetryableError, match="more than 268,435,456 bytes"):
            list(operation_results(with_entry(entry, b"[]")))

    def test_a_header_without_end(self) -> None:
        """Nor is a name that is longer than all results."""
        entry = tarfile.TarInfo("0.json")
        entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 3_000_000_000
        with pytest.raises(RetryableError, match="more than 5,000,000 bytes"):
            list(operation_results(with_entry(entry, bytes(8_000_000)), most=5_000_000))

    def test_values_without_end(self) -> None:
        """A text that would become many times its size in memory is not read as JSON."""
        with pytest.raises(TooMuch, match="more than 1,000 values"):
            parsed(b"[" + b"[]," * 2_000 + b"[]]", most=1_000)
        assert parsed(b"[" + b"1," * 900 + b"1]", most=1_000) == [1] * 901
