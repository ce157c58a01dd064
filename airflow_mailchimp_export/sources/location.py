"""Where something went wrong in a source, and how the reader is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError

_MAX_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A segment, or one of its files."""

    segment: str
    file: str = ""

    def error(self, problem: str, remedy: str = "") -> SourceError:
        """Say what is wrong here.

        :param remedy: the usual one of sources, unless given.
        """
        file = f", file {self.file!r}" if self.file else ""
        return SourceError(f"segment {self.segment!r}{file}: {problem}", remedy)

    def refusal(self, problem: str) -> ConfigError:
        """Say what is wrong here that only another set-up mends."""
        return ConfigError(str(self.error(problem)))


_CREDENTIALS: Final = "set the segment's conn_id to an Airflow connection with credentials for this storage"

_REMEDIES: Final = {
    "AirflowNotFoundException": "there is no connection of the name that conn_id gives; create it",
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "DefaultCredentialsError": _CREDENTIALS,
    "ClientAuthenticationError": _CREDENTIALS,
}
"""What mends the errors of Airflow and of storage libraries, by name: none of them is imported here."""


@contextmanager
def reading(location: SourceLocation) -> Iterator[None]:
    """Turn whatever a storage or a decoder raises into a :class:`SourceError`.

    Each storage library has errors of its own, so that nothing narrower than Exception catches them.
    """
    try:
        yield
    except (ExportError, MemoryError):
        raise
    except ImportError as error:
        package = f"package {error.name!r}" if error.name else "package of its storage or format"
        raise location.refusal(
            f"cannot be opened because the {package} is not installed: install it on all workers."
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise location.error("does not exist (any more).") from error
    except PermissionError as error:
        raise location.error(
            "may not be read: grant the worker's user or its conn_id the right to."
        ) from error
    except Exception as error:
        if remedy := _REMEDIES.get(type(error).__name__):
            raise location.refusal(f"cannot be opened ({type(error).__name__}): {remedy}.") from error
        raise location.error(
            f"cannot be read to its end ({type(error).__name__}): it may be damaged, cut short or out of "
            "reach; the cause is in the log."
        ) from error


_DATA: Final = re.compile(
    # An address, a number, a day, a phone number, or a value of several lines.
    r"\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*|[+-]?[\d.,]*\d[\d.,]*|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|\+?[\d()/ -]{6,}|.*\n.*",
    re.DOTALL,
)


def looks_like_data(name: str) -> bool:
    """Whether a column's name is none: a file without a header has values there, which no message may show."""
    return bool(_DATA.fullmatch(name)) or "@" in name


def listed(names: Iterable[str]) -> str:
    """Name what there is, at most the first few."""
    shown = [repr(name) for name in islice(names, _MAX_NAMES + 1)]
    return ", ".join([*shown[:_MAX_NAMES], "..."] if len(shown) > _MAX_NAMES else shown) or "nothing"
