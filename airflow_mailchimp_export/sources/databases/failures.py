"""What a database says when it fails, as a reader of a task's log has to be told.

Its own words are never shown: they quote values, and parts of the query that may be somebody's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.sources.location import SourceLocation


@dataclass(frozen=True, slots=True)
class _Failure:
    """A way to fail: what happened, and what to do about it."""

    happened: str
    remedy: str


_LOGIN = _Failure("the database refuses the login", "Correct login and password of the connection")
_NO_DATABASE = _Failure("there is no such database", "Correct the database (schema) of the connection")
_UNREACHABLE = _Failure(
    "the database is out of reach", "Check host and port of the connection, or wait: a retry asks again"
)
_LOST = _Failure(
    "the connection was cut before the last row", "Wait until the database is back: a retry asks again"
)
_RIGHTS = _Failure(
    "the connection's user may not read what the query names", "Grant it the right to SELECT there"
)
_NO_TABLE = _Failure(
    "the query names a table that does not exist", "Correct its name, or the schema in front of it"
)
_NO_COLUMN = _Failure("the query names a column that does not exist", "Correct its name")
_SYNTAX = _Failure(
    "the database does not understand the query",
    "Run it in the database's own client, which says where it is wrong",
)
_TIMEOUT = _Failure(
    "the query was ended before its last row, by a time limit or by hand",
    "Give the connection's user more time (such as statement_timeout), or make the query faster",
)
_LOCKED = _Failure("other work in the database is in the query's way", "Wait: a retry asks again")
_VALUE = _Failure(
    "the query computes something that is not possible for a value",
    "Run it in the database's own client, and correct or leave out the rows that it names",
)
_FULL = _Failure(
    "the database has not what it needs for the query (memory, disk or connections)",
    "Wait: a retry asks again",
)
_DRIVER = _Failure(
    "the query and its parameters do not fit each other",
    "Give each placeholder its parameter, and write %% for a per cent sign where there are parameters",
)
_OTHER = _Failure(
    "the query cannot be read to its end",
    "Run it in the database's own client; where it works there, a retry asks again",
)

_BY_STATE: Final[Mapping[str, _Failure]] = {
    "28": _LOGIN,
    "3D": _NO_DATABASE,
    "08": _LOST,
    "57P": _LOST,
    "57014": _TIMEOUT,
    "25P": _TIMEOUT,
    "42501": _RIGHTS,
    "42P01": _NO_TABLE,
    "42703": _NO_COLUMN,
    "42": _SYNTAX,
    "40": _LOCKED,
    "55": _LOCKED,
    "22": _VALUE,
    "53": _FULL,
}
"""By how SQLSTATE begins: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_BY_NUMBER: Final[Mapping[int, _Failure]] = {
    **dict.fromkeys((1044, 1045, 1251, 1698, 2059), _LOGIN),
    1049: _NO_DATABASE,
    **dict.fromkeys((2002, 2003, 2005), _UNREACHABLE),
    **dict.fromkeys((1053, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055), _LOST),
    **dict.fromkeys((1142, 1143, 1227, 1370), _RIGHTS),
    **dict.fromkeys((1051, 1109, 1146), _NO_TABLE),
    1054: _NO_COLUMN,
    **dict.fromkeys((1064, 1149), _SYNTAX),
    **dict.fromkeys((1028, 1317, 1969, 3024), _TIMEOUT),
    **dict.fromkeys((1205, 1213), _LOCKED),
    **dict.fromkeys((1021, 1037, 1038, 1040, 1041, 1203), _FULL),
}
"""By the number of MariaDB: https://mariadb.com/kb/en/mariadb-error-code-reference/"""

_BY_WORDS: Final = (
    (re.compile(r"password|authentication|no pg_hba\.conf entry|role .* does not exist"), _LOGIN),
    (re.compile(r"database .* does not exist"), _NO_DATABASE),
    (re.compile(r"canceling statement|interrupted"), _TIMEOUT),
    (re.compile(r"division by zero|out of range|invalid input syntax|overflow"), _VALUE),
    (re.compile(r"no such table"), _NO_TABLE),
    (re.compile(r"no such column"), _NO_COLUMN),
    (re.compile(r"closed|terminat|connection .*lost|EOF detected"), _LOST),
    (re.compile(r"connection|could not translate host|[Tt]imeout|unable to open"), _UNREACHABLE),
    (re.compile(r"syntax"), _SYNTAX),
    (re.compile(r"database (?:table )?is locked"), _LOCKED),
)
"""By what a driver says where it has no code, as ADBC has none half-way; the first that is found."""

_OF_DRIVERS: Final = frozenset({"IndexError", "KeyError", "ProgrammingError", "TypeError", "ValueError"})
"""What drivers raise without a code where they cannot put parameters into a query."""

_READ_ONLY: Final = ({"25006"}, {1792, 1290}, {"SQLITE_READONLY"})


@contextmanager
def asking(location: SourceLocation, conn_id: str) -> Iterator[None]:
    """Turn whatever a driver raises into a :class:`SourceError`; each driver has errors of its own.

    :raises SourceError: names the segment, the connection and the kind of the error, and never a value.
    """
    where = f"segment {location.segment!r}, connection {conn_id!r}"
    try:
        yield
    except (ExportError, MemoryError):
        raise
    except ImportError as error:
        raise ConfigError(
            f"{where}: the package {error.name!r} is not installed", "Install it on all workers"
        ) from error
    except Exception as error:
        # Not with its cause: what that says goes into the log.
        raise _told(where, error) from None


def _told(where: str, error: Exception) -> ExportError:
    state, number, name = _codes(error)
    is_writing = state in _READ_ONLY[0] or number in _READ_ONLY[1] or name in _READ_ONLY[2]
    if is_writing or (not state and "read-only transaction" in str(error)):
        return ConfigError(
            f"{where}: its sql writes, or locks rows, which no segment may",
            "Write one SELECT, or WITH ... SELECT",
        )
    failure = _failure(error, state, number)
    codes = [type(error).__name__, state and f"SQLSTATE {state}", number > 0 and f"error {number}", name]
    kind = ", ".join(str(code) for code in codes if code)
    return SourceError(f"{where}: {failure.happened} ({kind})", failure.remedy)


def _codes(error: Exception) -> tuple[str, int, str]:
    """Return SQLSTATE, MariaDB's number and SQLite's name of an error, as far as its driver tells them."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    first = error.args[0] if error.args else None
    number = getattr(error, "errno", None) or (first if isinstance(first, int) else 0)
    return str(state), number if isinstance(number, int) else 0, getattr(error, "sqlite_errorname", "")


def _failure(error: Exception, state: str, number: int) -> _Failure:
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    for length in (5, 3, 2):
        if state[:length] in _BY_STATE:
            return _BY_STATE[state[:length]]
    said = str(error)
    for words, failure in _BY_WORDS:
        if words.search(said):
            return failure
    return _DRIVER if type(error).__name__ in _OF_DRIVERS else _OTHER
