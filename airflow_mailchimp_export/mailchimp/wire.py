"""What a member looks like as JSON: spelled here and nowhere else, without any I/O.

The member object: https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson


class Section(StrEnum):
    """A part of the member object that holds values."""

    MEMBER = "member"
    """The object itself: ``language``, ``vip``."""
    MERGE_FIELDS = "merge_fields"
    INTERESTS = "interests"
    MARKETING_PERMISSIONS = "marketing_permissions"
    """Taken by the calls for one member, and not in the schema of the one for many:
    https://mailchimp.com/developer/marketing/api/list-members/add-member-to-list/"""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where in the member object one value goes.

    :param key: a merge tag, the id of an interest or of a marketing permission, or a name of the object itself.
    """

    section: Section
    key: str


class MemberEncoder:
    """Writes members as JSON.

    :param slots: where the values of each member go, in their order.
    """

    def __init__(self, slots: Iterable[Slot]) -> None:
        sections: defaultdict[Section, list[tuple[str, int]]] = defaultdict(list)
        for position, slot in enumerate(slots):
            sections[slot.section].append((slot.key, position))
        self._own = sections.pop(Section.MEMBER, [])
        self._nested = [(section.value, _FORMS.get(section), keys) for section, keys in sections.items()]

    def encode(
        self, email: str, status: str, values: Sequence[object], tags: Sequence[str] | None = None
    ) -> bytes:
        """Write one member; a value that is ``None`` is left out, so that Mailchimp keeps its own."""
        member: dict[str, object] = {"email_address": email, "status": status}
        for key, position in self._own:
            if (value := values[position]) is not None:
                member[key] = value
        for name, form, keys in self._nested:
            sent = {key: value for key, position in keys if (value := values[position]) is not None}
            if sent:
                member[name] = form(sent) if form else sent
        if tags:
            member["tags"] = tags
        return orjson.dumps(member)


def _permissions(sent: dict[str, object]) -> list[dict[str, object]]:
    return [{"marketing_permission_id": key, "enabled": enabled} for key, enabled in sent.items()]


_FORMS = {Section.MARKETING_PERMISSIONS: _permissions}
"""How a section is written that is no mapping of keys and values."""
