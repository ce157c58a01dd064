"""The closed sets in the SQL files are those of the enums: no word is spelled there that Python does not know."""

from __future__ import annotations

import re
from enum import StrEnum
from importlib.resources import files
from itertools import chain

import pytest

from airflow_mailchimp_export.model import (
    Change,
    Disposition,
    Effect,
    LedgerState,
    MemberStatus,
    Reason,
)
from airflow_mailchimp_export.rules import Lasting

COLUMNS: dict[str, type[StrEnum]] = {
    "audience_status": MemberStatus,
    "change": Change,
    "disposition": Disposition,
    "effect": Effect,
    "lasting": Lasting,
    "state": LedgerState,
    "status": MemberStatus,
}
"""Which set the words are of that a column is compared with."""

FORMAT_WORDS = {"EMAIL", "g", "one", "two"}
"""The address's name among the merge fields, and names of what patterns find; no sets."""

COMPARED = re.compile(
    r"\b(\w+)\s+(?:=|<>|IN|NOT IN|IS DISTINCT FROM|IS NOT DISTINCT FROM)\s+(\(?'\w*'(?:, '\w*')*)"
)
CHOSEN = re.compile(r"CASE (?:\w+\.)?(\w+)\s+((?:WHEN '\w+' THEN (?:\S+)\s+)+)")


def statements(name: str) -> str:
    """A file's statements, without comments and without the names of variables."""
    text = files("airflow_mailchimp_export").joinpath(name).read_text(encoding="utf-8")
    return re.sub(r"getvariable\('\w+'\)", "variable", re.sub(r"--.*", "", text))


both = pytest.mark.parametrize("name", ["planning/plan.sql", "accounting/accounts.sql"])


@both
def test_every_word_is_of_a_set(name: str) -> None:
    """Each quoted word is a value of one of the enums, or one of the few that name a format."""
    quoted = set(re.findall(r"'((?:[^']|'')*)'", statements(name)))
    words = {text for text in quoted if re.fullmatch(r"[A-Za-z_]+", text)}
    known = {
        str(value) for value in chain(Change, Disposition, Effect, LedgerState, Lasting, Reason, MemberStatus)
    }
    assert words - known <= FORMAT_WORDS
    assert len(words) > 8


@both
def test_each_column_has_the_words_of_its_set(name: str) -> None:
    """A column is only compared with words that its own set has."""
    text = statements(name)
    compared = [
        (column, word)
        for column, words in COMPARED.findall(text)
        if column != "NOT"  # of an expression, not of a column
        for word in re.findall(r"'(\w+)'", words)
    ]
    chosen = [
        (column, word)
        for column, branches in CHOSEN.findall(text)
        for word in re.findall(r"WHEN '(\w+)'", branches)
    ]
    strangers = {(column, word) for column, word in compared + chosen if word not in set(COLUMNS[column])}
    assert strangers == set()
    assert len(compared) > 8


def test_each_variable_is_set() -> None:
    """Every variable that the plan reads is set by a statement of its own, and every one that is set is read."""
    text = files("airflow_mailchimp_export").joinpath("planning/plan.sql").read_text(encoding="utf-8")
    read, written = (
        set(re.findall(found, text)) for found in (r"getvariable\('(\w+)'\)", r"SET VARIABLE (\w+)")
    )
    assert read == written
