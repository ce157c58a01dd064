"""The tags of the audience, beside those that the export gives and those that its ledger knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.mailchimp.members import count_tagged, read_tag, read_tags
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.planning.staging import Members
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.tag_names import by_key, tag_key

log = logging.getLogger(__name__)


class TagWarning(StrEnum):
    """What may be wrong with a tag."""

    GONE = "tag_gone"
    CARRIED = "tag_carried"
    UNKNOWN = "tag_unknown"
    OTHERS = "tag_of_another_export"
    KEPT = "tag_kept"


TAG_REMEDIES: Mapping[TagWarning, str] = {
    TagWarning.GONE: "Nothing to do if the tag was deleted in Mailchimp: its people were sent and tagged again. "
    "If it was renamed there, rename it back, or give the segment its new name as tag.",
    TagWarning.CARRIED: "People carry the tag, and there is no ledger that knows of them: who leaves keeps it. If "
    "this export gave it, its memory is lost: check that exports_root is where the runs before kept it. If the tag "
    "is to be this export's, start without a ledger and with adopt_existing_tag.",
    TagWarning.UNKNOWN: "Nothing was retired: this export never gave the tag, as far as its ledger knows. Correct the "
    "name in retire, or remove it there.",
    TagWarning.OTHERS: "Nothing was taken: another export gives the tag to its own people now. If retire names it, "
    "remove it there.",
    TagWarning.KEPT: "None: these people unsubscribed, bounced or have yet to confirm, so nothing about them is "
    "changed. Remove the tag in Mailchimp if nobody is to have it.",
}
"""What to do about each, as users read it."""


class AudienceTags:
    """The tags of an audience, read once, and which of them an export gives."""

    def __init__(self, sender: Sender, audience_id: str, segments: Sequence[Segment]) -> None:
        self._sender = sender
        self._audience_id = audience_id
        self._wanted = sorted({segment.tag for segment in segments})
        self._ids = by_key(read_tags(sender, audience_id))

    def carriers(self) -> Iterator[tuple[str, Members]]:
        """Yield some who carry a tag of the export, in the export's spelling; a tag may come again with others."""
        for tag in self._present():
            for members in read_tag(self._sender, self._audience_id, self._ids[tag_key(tag)]):
                yield tag, members

    def gone(self, known: Mapping[str, int]) -> tuple[FieldWarning, ...]:
        """Return a warning for each tag of the export that people should carry and the audience does not have.

        :param known: by tag, how many people carry it as far as the ledger knows.
        """
        return tuple(
            warning_of(TagWarning.GONE, tag, known[tag])
            for tag in self._wanted
            if tag in known and tag_key(tag) not in self._ids
        )

    def carried(self) -> tuple[FieldWarning, ...]:
        """Return a warning for each tag of the export that people carry; for an export that knows of nobody."""
        counted = {
            tag: count_tagged(self._sender, self._audience_id, self._ids[tag_key(tag)])
            for tag in self._present()
        }
        return tuple(warning_of(TagWarning.CARRIED, tag, people) for tag, people in counted.items() if people)

    def _present(self) -> list[str]:
        return [tag for tag in self._wanted if tag_key(tag) in self._ids]


def warning_of(kind: TagWarning, tag: str, people: int, *, hint: str = "") -> FieldWarning:
    """Warn of a tag, in the log and for the report.

    :param hint: what may have been meant.
    """
    remedy = f"{TAG_REMEDIES[kind].rstrip('.')}{hint}." if hint else TAG_REMEDIES[kind]
    log.warning("Tag %r of %s people: %s. %s", tag, f"{people:,}", kind.value, remedy)
    return FieldWarning(tag, kind.value, people, (), remedy)
