"""Answers that nobody should give: what a broken, or a hostile, machine may say in the place of Mailchimp."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from airflow_mailchimp_export.mailchimp.protocol import Response
from tests.kit.archives import link, to_archive, to_result

Answer = Callable[[str], bytes]
"""The body of an answer, of the address of the person in question."""

STRAY = "stray-file-of-a-hostile-answer"
"""What the names of files that an answer wants to see written end with."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**63, 2**64 - 1, 1e308, -1e308),
    *("", " ", "x", "²", "٣", "\x00", "a\x00b", "\x1b[31m", "\u202e", "\ufeff", "🐒" * 50, "x" * 100_000),
    *(f"../../../{STRAY}", f"/tmp/{STRAY}", "C:\\" + STRAY, f"%2e%2e%2f{STRAY}"),
    *("=1+1", "<script>", "' OR 1=1 --", "{0}", "%s", "$(true)", "ada@brieftaube.eu", "a" * 31 + "f" * 33),
    *([], {}, [[]], [None], {"a": 1}, {"id": []}, [[[[[[]]]]]], ["x"] * 1000),
)

SHAPES: dict[str, Callable[[str, Any], Any]] = {
    "all": lambda email, value: value,
    "members": lambda email, value: {"new_members": value},
    "member": lambda email, value: {"updated_members": [value]},
    "address": lambda email, value: {"new_members": [{"email_address": value, "status": "subscribed"}]},
    "status": lambda email, value: {"new_members": [{"email_address": email, "status": value}]},
    "error": lambda email, value: {
        "errors": [{"email_address": email, "error": value, "field": value, "field_message": value}]
    },
}

NO_JSON: tuple[bytes, ...] = (
    *(
        b"",
        b" ",
        b"{",
        b"[",
        b'"',
        b"nul",
        b"NaN",
        b"[1e999]",
        b"{}{}",
        b"\xff\xfe{\x00}\x00",
        b"\x00",
        b"\xef\xbb\xbf{}",
    ),
    *(b'"\\ud800"', b'{"new_members": [{"email_address": "\\udfff"}]}', "{'a': 1}".encode("utf-16")),
    *(
        b"[" * 100_000,
        b"{" + b'"a":{' * 5_000,
        b"<html>" + b"x" * 10_000,
        b"-" * 1000,
        b"9" * 10_000,
        b"[" + b"9" * 5000 + b"]",
    ),
    *(b'{"new_members": [{"email_address": "a", "email_address": "b"}]}', gzip.compress(b"{}")),
)


def answers() -> Iterator[tuple[str, Answer]]:
    """Yield bodies of answers to the call that carries people, each with a name."""
    for shape, make in SHAPES.items():
        for number, value in enumerate(VALUES):
            yield f"{shape} {number}", _json(make, value)
    for number, content in enumerate(NO_JSON):
        yield f"no JSON {number}", lambda email, content=content: content  # type: ignore[misc]


def _json(make: Callable[[str, Any], Any], value: Any) -> Answer:
    return lambda email: orjson.dumps(make(email, value))


def problems() -> Iterator[tuple[str, Response]]:
    """Yield refusals of all kinds, each with a name."""
    parts = ("type", "title", "detail", "status", "errors", "instance")
    for number, value in enumerate(VALUES):
        for status in (400, 401, 404, 429, 500, 503):
            body = orjson.dumps(
                dict.fromkeys(parts, value) | {"errors": [{"field": value, "message": value}, value]}
            )
            yield f"{status} {number}", Response(status, {"content-type": "application/problem+json"}, body)
    for waits in ("-1", "1e9", "²", "9" * 5000, "Mon, 99 Foo 2026", "Fri, 31 Dec 9999 23:59:59 -9999", "nan"):
        yield f"429 {waits[:9]}", Response(429, {"retry-after": waits}, b"{}")
    for status in (-1, 0, 100, 199, 204, 206, 301, 418, 600, 999):
        yield f"status {status}", Response(status, {"location": "http://["}, b"\xff")


def batches(batch_id: str) -> Iterator[tuple[str, Any]]:
    """Yield what may be said of a batch, each with a name."""
    for number, value in enumerate(VALUES):
        yield f"batch {number}", value
        for name in ("id", "status", "response_body_url", "total_operations", "finished_operations"):
            known = {"id": batch_id, "status": "finished", "response_body_url": link(batch_id)}
            yield f"batch {name} {number}", {**known, name: value}


def archives(number: str) -> Iterator[tuple[str, bytes]]:
    """Yield archives of results, each with a name.

    :param number: the id of an operation of the batch.
    """
    good = [to_result(number, {"new_members": []})]
    for index, value in enumerate(VALUES):
        yield f"content {index}", to_archive(orjson.dumps(value))
        yield f"item {index}", to_archive([value])
        for name in ("operation_id", "status_code", "response"):
            yield f"result {name} {index}", to_archive([{**good[0], name: value}])
    for index, content in enumerate(NO_JSON):
        yield f"no JSON in a file {index}", to_archive(content)
        yield f"no archive {index}", content
        yield f"packed {index}", gzip.compress(content)
    yield from _entries(orjson.dumps(good))
    whole = to_archive(good)
    yield "cut short", whole[:-20]
    yield "twice", whole + whole
    yield "junk behind", whole + b"junk"
    yield "packed twice", gzip.compress(whole)
    yield "not packed", gzip.decompress(whole)
    yield "zlib", zlib.compress(gzip.decompress(whole))
    yield "zeros", gzip.compress(bytes(1_000_000))


def _entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    outside = (
        f"../../../{STRAY}",
        f"/tmp/{STRAY}",
        "..",
        "/",
        "",
        "a/" * 2000 + STRAY,
        "\x00",
        "\udcff",
        "a\nb",
    )
    for index, name in enumerate(outside):
        yield f"name {index}", _tar(_entry(name, content))
    kinds = (
        *(
            tarfile.LNKTYPE,
            tarfile.SYMTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.DIRTYPE,
            tarfile.FIFOTYPE,
        ),
        *(tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"),
    )
    for index, kind in enumerate(kinds):
        for target in ("/etc/passwd", f"../../../{STRAY}", "./0.json"):
            entry, _ = _entry("./0.json", b"")
            entry.type, entry.linkname = kind, target
            yield f"kind {index} {target[-6:]}", _tar((entry, b""), _entry("./0.json", content))
    for size in (10**11, 8**11 - 1, -1):
        yield f"size {size}", _with_size(content, size)
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE):
        entry, text = _entry("x", b"9" * 2000)
        entry.type = kind
        yield f"header {kind!r}", _tar((entry, text), _entry("./0.json", content))
        yield f"headers {kind!r}", _tar(*[(entry, text)] * 2000)
    yield "many entries", _tar(*[_entry("x", b"")] * 5_000)


def _entry(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    return entry, content


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    for entry, content in entries:
        packed.write(entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        packed.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))
    return gzip.compress(packed.getvalue() + bytes(2 * tarfile.BLOCKSIZE), 1)


def _with_size(content: bytes, size: int) -> bytes:
    entry, _ = _entry("./0.json", content)
    entry.size = size
    return _tar((entry, content))
