"""What a member looks like as JSON."""

from __future__ import annotations

import orjson
import pytest

from airflow_mailchimp_export.mailchimp.wire import MemberEncoder, Section, Slot

ADA = "ada@people.example"
EVERY_SLOT = (
    Slot(Section.INTERESTS, "9143cf3bd1"),
    Slot(Section.MERGE_FIELDS, "FNAME"),
    Slot(Section.MEMBER, "language"),
    Slot(Section.MARKETING_PERMISSIONS, "f1a2"),
    Slot(Section.MERGE_FIELDS, "AGE"),
    Slot(Section.MEMBER, "vip"),
    Slot(Section.MARKETING_PERMISSIONS, "b3c4"),
)


def test_merge_fields_and_tags() -> None:
    """Merge fields and tags stand behind address and status, in their order."""
    encoder = MemberEncoder([Slot(Section.MERGE_FIELDS, "FNAME"), Slot(Section.MERGE_FIELDS, "AGE")])
    assert encoder.encode(ADA, "subscribed", ("Zoë", 7), ("VIP", "News")) == (
        b'{"email_address":"ada@people.example","status":"subscribed",'
        b'"merge_fields":{"FNAME":"Zo\xc3\xab","AGE":7},"tags":["VIP","News"]}'
    )


def test_every_section() -> None:
    """Each kind of value goes where Mailchimp's member object has it, whatever the order of the slots."""
    written = MemberEncoder(EVERY_SLOT).encode(ADA, "pending", (True, "Ada", "pt", True, 36, False, False))
    assert orjson.loads(written) == {
        "email_address": "ada@people.example",
        "status": "pending",
        "language": "pt",
        "vip": False,
        "merge_fields": {"FNAME": "Ada", "AGE": 36},
        "interests": {"9143cf3bd1": True},
        "marketing_permissions": [
            {"marketing_permission_id": "f1a2", "enabled": True},
            {"marketing_permission_id": "b3c4", "enabled": False},
        ],
    }


@pytest.mark.parametrize("tags", [None, ()])
def test_nothing_but_the_address(tags: tuple[str, ...] | None) -> None:
    """Values that are None are left out, and a section without any with them."""
    written = MemberEncoder(EVERY_SLOT).encode(ADA, "subscribed", (None,) * len(EVERY_SLOT), tags)
    assert written == b'{"email_address":"ada@people.example","status":"subscribed"}'


def test_a_blank_that_clears_is_sent() -> None:
    """Empty text, zero and false are values."""
    slots = [
        Slot(Section.MERGE_FIELDS, "FNAME"),
        Slot(Section.MERGE_FIELDS, "AGE"),
        Slot(Section.MEMBER, "vip"),
    ]
    assert orjson.loads(MemberEncoder(slots).encode(ADA, "subscribed", ("", 0, False))) == {
        "email_address": "ada@people.example",
        "status": "subscribed",
        "vip": False,
        "merge_fields": {"FNAME": "", "AGE": 0},
    }


def test_a_value_that_is_missing() -> None:
    """Fewer values than slots are an error: nothing is left out silently."""
    with pytest.raises(IndexError):
        MemberEncoder(EVERY_SLOT).encode(ADA, "subscribed", (True,))
