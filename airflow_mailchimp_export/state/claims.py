"""Which export owns a tag: two that gave the same tag would take it from each other's people.

``<exports_root>/<export>/tags.json`` claims the tags that an export gives, and those that its ledger still carries,
before anything is sent. What an export without the file has claimed, its ledger says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state import ledger
from airflow_mailchimp_export.state.json_format import JsonFormat
from airflow_mailchimp_export.state.ledger import Ledger
from airflow_mailchimp_export.state.run import ExportFolder
from airflow_mailchimp_export.tag_names import tag_key

log = logging.getLogger(__name__)

TAGS = "tags.json"

CARRYING = ("member", "unconfirmed")
"""The states in which people carry the tags that the ledger knows of them."""

_FORMAT = JsonFormat()


@dataclass(frozen=True, slots=True)
class Claim:
    """The tags of an audience that an export owns."""

    export: str
    audience_id: str
    tags: tuple[str, ...]


def check_owners(folder: ExportFolder, claim: Claim) -> None:
    """Stop a run that would give a tag of another export under the same root.

    :raises ConfigError: names both exports, and says what to do.
    """
    for other, theirs in _claims_beside(folder, claim):
        keys = {tag_key(tag) for tag in theirs.tags}
        shared = next((tag for tag in claim.tags if tag_key(tag) in keys), None)
        if shared is not None:
            raise ConfigError(
                f"Tag {shared!r} of audience {claim.audience_id} belongs to export {theirs.export!r} ({other.uri}), so "
                f"export {claim.export!r} may not give it too: each would take it from the other's people",
                "Make them one export with two segments of the same tag, or give this segment another tag. If "
                f"{theirs.export!r} is not used any more, remove its folder",
            )


def put_claim(folder: ExportFolder, claim: Claim, known: Ledger | None) -> None:
    """Claim the tags of an export, and those that its ledger carries as far as no other export has them.

    :raises ConfigError: when another export has claimed one of them meanwhile.
    """
    before = folder.read(TAGS) if folder.exists(TAGS) else None
    beside = keys_of_others(folder, claim)
    left = [tag for tag in carried_tags(known) if tag_key(tag) not in beside] if known else []
    spelled = {tag_key(tag): tag for tag in (*left, *claim.tags)}
    content = _FORMAT.encode(Claim(claim.export, claim.audience_id, tuple(sorted(spelled.values()))))
    if content != before:
        folder.put(TAGS, content)
    try:
        check_owners(folder, claim)
    except ConfigError:
        _put_back(folder, before)
        raise


def keys_of_others(folder: ExportFolder, own: Claim) -> frozenset[str]:
    """Return what all spellings of the tags that other exports of the audience claim have in common."""
    return frozenset(tag_key(tag) for _, theirs in _claims_beside(folder, own) for tag in theirs.tags)


def other_ledgers(folder: ExportFolder, own: Claim) -> Iterator[Path | None]:
    """Lend the ledgers of the other exports of an audience, one by one; ``None`` for one that cannot be read."""
    for other in folder.others():
        try:
            with ledger.opened(other) as theirs:
                if theirs and _is_another(theirs.mark, own):
                    yield theirs.path
        except ConfigError as error:
            log.warning("%s", error)
            yield None


def carried_tags(known: Ledger) -> Sequence[str]:
    """Return the tags that people of a ledger carry, as it says of itself, or else as its rows have them."""
    if known.mark.tags is not None:
        return known.mark.tags
    rows = pq.read_table(known.path, columns=["state", "tags"])
    carrying = rows.filter(pc.is_in(rows["state"], pa.array(CARRYING)))
    return sorted(set(pc.list_flatten(carrying["tags"]).to_pylist()))


def _claims_beside(folder: ExportFolder, own: Claim) -> Iterator[tuple[ExportFolder, Claim]]:
    """Yield what other exports of the audience claim; a copy of the export's own folder is none."""
    for other in folder.others():
        try:
            theirs = _claim_of(other)
        except ConfigError as error:
            log.warning("%s", error)
            continue
        if theirs and _is_another(theirs, own):
            yield other, theirs


def _is_another(theirs: Claim | ledger.LedgerMark, own: Claim) -> bool:
    return theirs.audience_id == own.audience_id and theirs.export != own.export


def _claim_of(folder: ExportFolder) -> Claim | None:
    if folder.exists(TAGS):
        remedy = "Run that export once, which writes the file again"
        return _FORMAT.decode(folder.read(TAGS), Claim, where=f"{folder.uri}/{TAGS}", remedy=remedy)
    with ledger.opened(folder) as known:
        return Claim(known.mark.export, known.mark.audience_id, tuple(carried_tags(known))) if known else None


def _put_back(folder: ExportFolder, before: bytes | None) -> None:
    if before is None:
        folder.remove(TAGS)
    else:
        folder.put(TAGS, before)
