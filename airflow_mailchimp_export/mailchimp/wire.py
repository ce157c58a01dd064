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

    def in_sql(self, email: str, status: str, values: Sequence[str], tail: str) -> str | None:
        """Return SQL that writes one member in the same way; ``None`` where there is none.

        :param email: SQL of an address that needs no escape in JSON.
        :param status: SQL of a status.
        :param values: SQL of the JSON of each value, null for one that is left out.
        :param tail: SQL of what :meth:`tail` returns.
        """
        if any(form for _, form, _ in self._nested):
            return None
        own = [f"coalesce(',' || {_keyed(key, values[position])}, '')" for key, position in self._own]
        nested = [
            _section(name, [_keyed(key, values[position]) for key, position in keys])
            for name, _, keys in self._nested
        ]
        begin = f"""'{{"email_address":"' || {email} || '","status":"' || {status} || '"'"""
        return " || ".join([begin, *own, *nested, tail])

    @staticmethod
    def tail(tags: Sequence[str]) -> str:
        """Write the end of a member: the tags, if there are any."""
        return f',"tags":{orjson.dumps(tags).decode()}}}' if tags else "}"


def _keyed(key: str, value: str) -> str:
    name = orjson.dumps(key).decode().replace("'", "''")
    return f"'{name}:' || {value}"


def _section(name: str, entries: Sequence[str]) -> str:
    """Return SQL of a part of the object with its name; empty where all its values are left out."""
    sent = f"concat_ws(',', {', '.join(entries)})"
    return f"""CASE WHEN {sent} = '' THEN '' ELSE ',"{name}":{{' || {sent} || '}}' END"""


def _permissions(sent: dict[str, object]) -> list[dict[str, object]]:
    return [{"marketing_permission_id": key, "enabled": enabled} for key, enabled in sent.items()]


_FORMS = {Section.MARKETING_PERMISSIONS: _permissions}
"""How a section is written that is no mapping of keys and values."""
