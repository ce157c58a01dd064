"""An organisation's Web API out of given rows, without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_mailchimp_export.customer_insights.pages import Row
from airflow_mailchimp_export.customer_insights.protocol import Answer, Refusal, finish

T = TypeVar("T")

MEMBERSHIP = {
    "msdynci_segmentmembershipid": "Uniqueidentifier",
    "msdynci_customerid": "String",
    "msdynci_segments": "Memo",
    "msdynci_segmentmembershiptype": "String",
    "msdynci_identifier": "String",
    "modifiedon": "DateTime",
}
PROFILE = {
    "msdynci_customerprofileid": "Uniqueidentifier",
    "msdynci_customerid": "String",
    "msdynci_email": "String",
    "msdynci_firstname": "String",
    "modifiedon": "DateTime",
}


@dataclass
class FakeReader:
    """Answers with pages of rows.

    :param tables: types of columns by table.
    :param rows: pages by entity set; what else is asked for is not there.
    :param answers: JSON of other paths.
    :param refused: parts of paths that are answered 400.
    :param lost: ids of profiles that come only where they are asked for by id.
    """

    tables: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {"msdynci_segmentmembership": MEMBERSHIP, "msdynci_customerprofile": PROFILE}
    )
    rows: Mapping[str, Sequence[list[Row]]] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    max_connections: int = 2
    asked: list[str] = field(default_factory=list)

    def get(self, path: str, read: Callable[[Any], T], *, what: str) -> T:
        """Answer from the tables and answers."""
        self._note(path)
        return read(self._payload(path, what))

    def pages(self, path: str, *, what: str, labels: bool = False) -> Iterator[list[Row]]:
        """Yield the pages of an entity set."""
        self._note(path)
        table, _, query = path.partition("?")
        condition = query if "$filter=msdynci_customerid" in query else ""
        lost = self.lost if table == "msdynci_customerprofiles" else ()
        for page in self.rows[table]:
            yield [row for row in page if _is_shown(row.get("msdynci_customerid"), condition, lost)]

    def _note(self, path: str) -> None:
        self.asked.append(path)
        if any(part in path for part in self.refused):
            raise Refusal("It was answered 400", status=400)

    def _payload(self, path: str, what: str) -> Any:
        name = path.partition("LogicalName='")[2].partition("'")[0]
        if name in self.tables:
            return _definition(name, self.tables[name], path)
        if path in self.answers:
            return self.answers[path]
        return finish(what, Answer(404, {}, b""), dict)


def _is_shown(customer: object, condition: str, lost: tuple[str, ...]) -> bool:
    return f"'{customer}'" in condition if condition else customer not in lost


def _definition(name: str, columns: Mapping[str, str], path: str) -> Any:
    if "DateTimeAttributeMetadata" in path:
        return {"value": []}
    if "/Attributes" in path:
        return {"value": [{"LogicalName": one, "AttributeType": kind} for one, kind in columns.items()]}
    return {"EntitySetName": f"{name}s", "PrimaryIdAttribute": f"{name}id", "TableType": "Elastic"}
