"""The result archives of batches: how they are packed, how they are fetched, and how they go wrong."""

from __future__ import annotations

import gzip
import io
import secrets
import tarfile
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest, digest
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import orjson

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.batch_state import Batch
from airflow_mailchimp_export.sandbox.choices import ArchiveFault
from airflow_mailchimp_export.sandbox.planned import FOR_EVER
from airflow_mailchimp_export.sandbox.settings import Settings

FOLDER = "/batch-results/"
SUFFIX = "-response.tar.gz"
LOST_EVERY = 3

_SECRET = secrets.token_bytes(16)


def to_result(status: int, operation_id: str | None, response: bytes) -> bytes:
    """One entry of an archive, compressed; the response is JSON inside a JSON string."""
    item = {"status_code": status, "operation_id": operation_id, "response": response.decode()}
    # Answers in full take 1.5 MB for 500 members: many of them would fill the memory.
    return zlib.compress(orjson.dumps(item), level=1)


def pack(path: Path, results: Iterable[bytes], settings: Settings) -> None:
    """Write the archive: an entry for the folder, and several files, one of which may be empty."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        folder = tarfile.TarInfo("./")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        remaining = iter(results)
        while part := list(islice(remaining, max(1, settings.archive_operations_per_file))):
            _add(archive, b"[" + b",".join(map(zlib.decompress, part)) + b"]")
        if settings.archive_empty_file:
            _add(archive, b"")


def _add(archive: tarfile.TarFile, content: bytes) -> None:
    entry = tarfile.TarInfo(f"./{secrets.token_hex(5)}.json")
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def signed_url(account: Account, batch: Batch) -> str:
    """A link that needs no credentials, but does not last."""
    expires = account.now() + int(account.settings.batch_url_lifetime)
    name = f"{batch.batch_id}{SUFFIX}"
    query = {
        "GoogleAccessId": "sandbox@mailchimp.example",
        "Expires": str(expires),
        "Signature": _sign(name, str(expires)),
    }
    return f"{account.url}{FOLDER}{name}?{urlencode(query)}"


def _sign(name: str, expires: str) -> str:
    return b64encode(digest(_SECRET, f"{name} {expires}".encode(), sha256)).decode()


class Refusal(Exception):
    """The store refuses a download, in its own way and not in Mailchimp's."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = (
            f"<?xml version='1.0' encoding='UTF-8'?><Error>"
            f"<Code>{code}</Code><Message>{text}</Message></Error>"
        ).encode()


def fetch(account: Account, name: str, query: Mapping[str, str], *, authorized: bool) -> bytes:
    """The bytes of an archive.

    :raises Refusal: with the store's own answer.
    """
    batch, packed = _signed_for(account, name, query)
    if authorized and account.settings.archive_refuses_authorization:
        raise Refusal(400, "InvalidArgument", "Only one auth mechanism allowed.")
    batch.downloads += 1
    failures = account.settings.batch_download_failures
    if failures == FOR_EVER or batch.downloads <= failures:
        raise Refusal(400, "InvalidArgument", "Invalid argument.")
    return _spoilt(account.settings, batch, packed)


def _signed_for(account: Account, name: str, query: Mapping[str, str]) -> tuple[Batch, bytes]:
    expires = query.get("Expires", "0")
    if not compare_digest(_sign(name, expires).encode(), query.get("Signature", "").encode()):
        raise Refusal(403, "SignatureDoesNotMatch", "The request signature does not match.")
    if account.now() >= int(expires):
        raise Refusal(400, "ExpiredToken", "The provided token has expired.")
    batch = account.batches.batches.get(name.removesuffix(SUFFIX))
    if batch is None or batch.archive is None:
        raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
    return batch, batch.archive.read_bytes()


def _spoilt(settings: Settings, batch: Batch, content: bytes) -> bytes:
    spent = (
        settings.archive_fault_count != FOR_EVER and batch.faulty_downloads >= settings.archive_fault_count
    )
    if settings.archive_fault is ArchiveFault.NONE or spent:
        return content
    batch.faulty_downloads += 1
    middle = len(content) // 2
    if settings.archive_fault is ArchiveFault.TRUNCATED:
        return content[:middle]
    if settings.archive_fault is ArchiveFault.CORRUPT:
        return (
            content[:middle]
            + bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
            + content[middle + 64 :]
        )
    return _incomplete(content)


def _incomplete(content: bytes) -> bytes:
    """Without every third operation, beginning with the first."""
    lossy = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as old,
        tarfile.open(fileobj=lossy, mode="w:gz", compresslevel=1) as new,
    ):
        for entry in old:
            file = old.extractfile(entry)
            text = file.read() if file else b""
            if text:
                items = orjson.loads(text)
                text = orjson.dumps([item for place, item in enumerate(items) if place % LOST_EVERY])
                entry.size = len(text)
            new.addfile(entry, io.BytesIO(text))
    return lossy.getvalue()
