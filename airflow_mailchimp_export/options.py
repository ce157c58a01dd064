"""What users set about an export besides what goes where: public as ``airflow_mailchimp_export.options``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.rules import ARCHIVE, NEW_MEMBER_STATUSES, REMOVAL_KINDS, UNTAG
from airflow_mailchimp_export.settings.coercion import (
    boolean,
    choice,
    is_blank,
    mapping,
    number,
    parse_setting,
    single_line,
    whole_number,
)
from airflow_mailchimp_export.settings.names import check_keys

MAX_EXPORT_NAME_LENGTH: Final = 200
"""Longest folder name made of an export's name; file systems end at 255 bytes."""


class OnLeave(StrEnum):
    """What becomes of people who are in none, or no longer in one, of the segments: kept, or a kind of removal."""

    UNTAG = UNTAG.name
    ARCHIVE = ARCHIVE.name
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is seldom changed about an export.

    :param new_member_status: the status of people who are new to the audience: subscribed, pending
        (Mailchimp asks them first) or transactional.
    :param max_profiles: most profiles over all segments; more and nothing is sent.
    :param max_removal_ratio: the part of the people added by this export, 0 to 1, that may be removed in one
        run, of each tag and of all; more and nothing is sent. 1 allows everything, even an empty segment.
    :param removal_floor: so many people of each tag may always be removed, unless its segment is empty.
    :param max_reject_ratio: the part of the profiles, 0 to 1, that may be refused before the run has failed.
    :param create_merge_fields: whether merge fields that the audience lacks are created.
    :param skip_merge_validation: whether Mailchimp accepts members without the audience's required fields.
    :param profile_id: a column that stays the same when a person's address changes; ``None`` for none.
    :param adopt_existing_tag: whether, on the first run, people who carry a segment's tag already count as put
        there by this export.
    :param keep_runs: how many run folders are kept.
    :param allow_older: whether a run may put older data over the newer data of a run before it.
    """

    new_member_status: MemberStatus = MemberStatus.SUBSCRIBED
    max_profiles: int = 1_000_000
    max_removal_ratio: float = 0.3
    removal_floor: int = 20
    max_reject_ratio: float = 0.5
    create_merge_fields: bool = False
    skip_merge_validation: bool = False
    profile_id: str | None = None
    adopt_existing_tag: bool = False
    keep_runs: int = 30
    allow_older: bool = False

    @classmethod
    def from_value(cls, value: ExportOptions | Mapping[str, object] | str | None) -> ExportOptions:
        """Check options, also as JSON text; null and empty text count as unset.

        :raises ConfigError: names the option, what it must be, and what kind of value was given.
        """
        raw = asdict(value) if isinstance(value, cls) else value
        given = {} if raw is None else parse_setting("options", raw, mapping)
        check_keys("options", given, allowed=OPTIONS)
        checked: dict[str, Any] = {
            name: parse_setting(f"options: {name}", set_to, OPTIONS[name])
            for name, set_to in given.items()
            if not is_blank(set_to)
        }
        return cls(**checked)


OPTIONS: Final[Mapping[str, Callable[[object], object]]] = {
    "new_member_status": choice(*NEW_MEMBER_STATUSES),
    "max_profiles": whole_number(1),
    "max_removal_ratio": number(0, 1),
    "removal_floor": whole_number(0),
    "max_reject_ratio": number(0, 1),
    "create_merge_fields": boolean,
    "skip_merge_validation": boolean,
    "profile_id": single_line,
    "adopt_existing_tag": boolean,
    "keep_runs": whole_number(1),
    "allow_older": boolean,
}
"""What makes each option's value of what was set."""


def parse_on_leave(value: object) -> str:
    """Return the name of a kind of removal, or :attr:`OnLeave.KEEP`.

    :raises InvalidValue: when it is neither.
    """
    return choice(*REMOVAL_KINDS, OnLeave.KEEP)(value)


def parse_export_name(name: str) -> str:
    """Make the name of an export's folder: two names never share one.

    Letters, digits and ``._-`` stay; each other byte becomes ``~`` and two hexadecimal digits; of a name that
    gets too long, the end becomes a digest.

    :raises ConfigError: the name is empty or no text.
    """
    named = parse_setting("export_name", name, single_line)
    if not named:
        raise ConfigError("export_name is empty: leave it out to get <dag_id>.<task_id>, or give it a name.")
    safe = re.sub(rb"[^A-Za-z0-9._-]", lambda match: b"~%02x" % match[0][0], named.encode()).decode()
    if not safe.strip("."):
        return safe.replace(".", "~2e")
    if len(safe) <= MAX_EXPORT_NAME_LENGTH:
        return safe
    digest = hashlib.sha256(safe.encode()).hexdigest()[:32]
    return f"{safe[: MAX_EXPORT_NAME_LENGTH - len(digest) - 2]}~~{digest}"
