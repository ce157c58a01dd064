"""``$filter``: read into a tree, and turned into SQL under one of the readings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from airflow_mailchimp_export.sandbox.customer_insights.choices import FilterReading
from airflow_mailchimp_export.sandbox.customer_insights.problems import (
    TOO_MANY_CONDITIONS,
    bad_query,
    no_property,
    not_imitated,
)
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from airflow_mailchimp_export.sandbox.customer_insights.tables import Column, Table

TEXT_FUNCTIONS = {"contains": "contains", "startswith": "starts_with", "endswith": "ends_with"}
IN_FUNCTION = "Microsoft.Dynamics.CRM.In"
_COMPARISONS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<list>\[[^\]]*\])"
    r"|(?P<mark>[(),=])"
    r"|(?P<word>[^\s'(),=\[\]]+))"
)


@dataclass(slots=True)
class Condition:
    """SQL, and the values that belong to it."""

    sql: str = "true"
    values: list[Any] = field(default_factory=list)


def to_condition(text: str, table: Table, settings: Settings) -> Condition:
    """The filter of a query.

    :raises Refused: it cannot be read, or names what the table does not have.
    """
    return _Reader(text, table, settings).read()


class _Reader:
    """Reads a filter from left to right: ``or`` binds weakest, then ``and``, then ``not``."""

    def __init__(self, text: str, table: Table, settings: Settings) -> None:
        self._text, self._table, self._settings = text, table, settings
        self._tokens = list(self._split())
        self._conditions = 0
        self._values: list[Any] = []

    def read(self) -> Condition:
        sql = self._either()
        if self._tokens:
            self._fail()
        return Condition(sql, self._values)

    def _split(self) -> Iterator[str]:
        at = 0
        text = self._text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                self._fail()
            yield found[0].strip()
            at = found.end()

    def _either(self) -> str:
        parts = [self._all()]
        while self._found("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _all(self) -> str:
        parts = [self._one()]
        while self._found("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _one(self) -> str:
        if self._found("not"):
            return f"(NOT {self._one()})"
        if self._found("("):
            inner = self._either()
            self._expect(")")
            return inner
        self._count()
        word = self._next()
        if word in TEXT_FUNCTIONS:
            return self._text_function(word)
        if word == IN_FUNCTION:
            return self._in_function()
        return self._comparison(self._column(word))

    def _text_function(self, name: str) -> str:
        if self._settings.contains_refused:
            raise bad_query(f"The function '{name}' is not supported by the data provider.", "0x80040203")
        self._expect("(")
        column = self._column(self._next())
        self._expect(",")
        value = self._literal(self._next())
        self._expect(")")
        if not isinstance(value, str):
            self._fail()
        reading = self._settings.filter_reading
        if reading is FilterReading.LIKE:
            self._values.append({"contains": f"%{value}%", "startswith": f"{value}%"}.get(name, f"%{value}"))
            return f"{column.sql} ILIKE ?"
        self._values.append(value if reading is FilterReading.EXACT else value.lower())
        return f"{TEXT_FUNCTIONS[name]}({self._folded(column)}, ?)"

    def _in_function(self) -> str:
        if not self._settings.in_function:
            raise bad_query(f"The query function 'In' is not supported for '{self._table.logical_name}'.")
        self._expect("(", "PropertyName", "=")
        column = self._column(str(self._literal(self._next())))
        self._expect(",", "PropertyValues", "=")
        try:
            found = orjson.loads(self._next())
        except orjson.JSONDecodeError:
            self._fail()
        self._expect(")")
        if not found or not isinstance(found, list):
            self._fail()
        self._conditions += len(found) - 1
        self._count(0)
        exact = self._settings.filter_reading is FilterReading.EXACT
        self._values += [str(value) if exact else str(value).lower() for value in found]
        return f"{self._folded(column)} IN ({', '.join('?' * len(found))})"

    def _comparison(self, column: Column) -> str:
        operator = self._next()
        if operator not in _COMPARISONS:
            self._fail()
        value = self._literal(self._next())
        if value is None:
            if operator not in {"eq", "ne"}:
                self._fail()
            return f"({column.sql}) IS {'NOT ' if operator == 'ne' else ''}NULL"
        text = isinstance(value, str)
        exact = self._settings.filter_reading is FilterReading.EXACT
        self._values.append(value.lower() if isinstance(value, str) and not exact else value)
        left = self._folded(column) if text else f"({column.sql})"
        # In Dataverse, what is unknown is also not equal to anything else.
        unknown = f" OR ({column.sql}) IS NULL" if operator == "ne" else ""
        return f"({left} {_COMPARISONS[operator]} ?{unknown})"

    def _folded(self, column: Column) -> str:
        sql = f"({column.sql})::varchar"
        return sql if self._settings.filter_reading is FilterReading.EXACT else f"lower({sql})"

    def _literal(self, token: str) -> Any:
        if token.startswith("'"):
            value = token[1:-1].replace("''", "'")
            return value.replace("\\", "") if self._settings.backslash_escapes else value
        words = {"null": None, "true": True, "false": False}
        if token in words:
            return words[token]
        if re.fullmatch(r"-?\d+(\.\d+)?", token):
            return float(token) if "." in token else int(token)
        if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\d\S*", token):
            return token
        self._fail()

    def _column(self, name: str) -> Column:
        if "/" in name:
            raise not_imitated("filters over other tables")
        column = self._table.column(name)
        if column is None:
            raise no_property(name, self._table.logical_name)
        return column

    def _count(self, more: int = 1) -> None:
        self._conditions += more
        limit = self._settings.condition_limit
        if self._conditions > limit:
            raise bad_query(TOO_MANY_CONDITIONS.format(limit=limit), "0x8004430C")

    def _found(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, *tokens: str) -> None:
        for token in tokens:
            if not self._found(token):
                self._fail()

    def _next(self) -> str:
        if not self._tokens:
            self._fail()
        return self._tokens.pop(0)

    def _fail(self) -> NoReturn:
        raise bad_query(f"Syntax error in the filter '{self._text}'.", "0x80060888")
