"""What the page shows, in one small document."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.segments import CUSTOMER
from airflow_mailchimp_export.sandbox.customer_insights.store import Store
from airflow_mailchimp_export.sandbox.moments import iso

MEMBERS_SHOWN = 12
_VISIBLE_LETTERS = 2
_AS_CUSTOMER = f"kind = '{CUSTOMER}'"


class Overview:
    """Segments and some of their members, which are counted again only after they changed."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._seen: tuple[Store, int] | None = None
        self._data: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """Segments, members, and how busy it is."""
        organisation, meter = self._organisation, self._organisation.meter
        store = organisation.store
        if self._seen != (store, store.revision):
            self._seen, self._data = (store, store.revision), _data(store)
        return {
            "now": iso(int(organisation.now())),
            "rates": meter.rates(),
            "requests": sum(meter.requests.values()),
            "rows": meter.rows_handled,
            "faults": sum(meter.faults.values()),
            "refreshes": organisation.refreshes,
            **self._data,
        }


def members_of(organisation: Organisation, name: str) -> list[str]:
    """The ids of everyone who is in a segment as a customer."""
    sql = f"SELECT DISTINCT customer_id FROM membership WHERE {_AS_CUSTOMER} AND list_contains(names, ?)"
    found = organisation.store.connection.execute(f"{sql} ORDER BY ALL", [name]).fetchall()
    return [customer_id for (customer_id,) in found]


def masked(text: str | None) -> str:
    """The first letters of a value, of which the page shows no more; an address keeps its domain."""
    if not text:
        return ""
    local, at, domain = text.strip().partition("@")
    return f"{local[:_VISIBLE_LETTERS]}…{at}{domain}"


def _data(store: Store) -> dict[str, Any]:
    sizes = dict(
        store.connection.execute(
            "SELECT name, count(DISTINCT customer_id) FROM "
            f"(SELECT unnest(names) AS name, customer_id FROM membership WHERE {_AS_CUSTOMER}) GROUP BY name"
        ).fetchall()
    )
    rules = {segment.name: segment.where for segment in store.segments}
    names = list(dict.fromkeys([*rules, *sorted(sizes)]))
    (profiles,), (rows,) = (
        store.connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
        for table in ("profile", "membership")
    )
    return {
        "profiles": profiles,
        "memberships": rows,
        "segments": [
            {"name": name, "members": sizes.get(name, 0), "rule": rules.get(name, "")} for name in names
        ],
        "members": _members(store),
    }


def _members(store: Store) -> list[dict[str, Any]]:
    """Some members, with what the page shows of their addresses."""
    wires = {attribute.wire for attribute in store.attributes}
    email = '"msdynci_email"::varchar' if "msdynci_email" in wires else "NULL"
    some = f"SELECT * FROM membership WHERE {_AS_CUSTOMER} ORDER BY position LIMIT ?"
    found = store.connection.execute(
        f"SELECT m.customer_id, list_sort(list_distinct(flatten(list(m.names)))), any_value({email}) "
        f"FROM membership AS m LEFT JOIN profile USING (customer_id) "
        f"WHERE m.{_AS_CUSTOMER} AND m.customer_id IN (SELECT customer_id FROM ({some})) "
        "GROUP BY m.customer_id ORDER BY min(m.position)",
        [MEMBERS_SHOWN],
    ).fetchall()
    return [{"id": one, "segments": names, "email": masked(address)} for one, names, address in found]
