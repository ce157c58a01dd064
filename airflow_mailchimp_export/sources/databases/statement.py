"""One statement that reads, as a query has to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import sqlparse
from sqlparse import lexer
from sqlparse.tokens import Comment, Keyword, Whitespace

from airflow_mailchimp_export.sources.location import SourceLocation

_WRITES: Final = frozenset({"BEGIN", "COMMIT", "DO", "GRANT", "LOCK", "RENAME", "REVOKE", "SET", "TRUNCATE"})
"""Words that begin a statement which does not read, besides those that sqlparse knows as such."""


def check_statement(sql: str, location: SourceLocation) -> None:
    """Refuse several statements, of which some drivers run all and return one's rows, and what does not read.

    Not every database keeps a transaction that reads only from changing its tables' structure.

    :raises ConfigError: says what it is in place of a query.
    """
    first_words = [word for statement in sqlparse.split(sql) for word in _first_word(statement)]
    if len(first_words) != 1:
        raise location.refusal(
            f"its sql holds {len(first_words) or 'no'} statements: write one SELECT, or WITH ... SELECT."
        )
    if first_words[0]:
        raise location.refusal(
            f"its sql is no query, but {first_words[0]}: write one SELECT, or WITH ... SELECT."
        )


def _first_word(statement: str) -> Iterator[str]:
    """Yield the word with which a statement begins, if it does not read; nothing where there are but comments."""
    for kind, word in lexer.tokenize(statement):  # type: ignore[no-untyped-call]
        if kind in Whitespace or kind in Comment or word == ";":
            continue
        first = word.split()[0].upper()
        is_change = kind in Keyword.DDL or (kind in Keyword.DML and first != "SELECT")
        yield first if is_change or first in _WRITES else ""
        return
