"""Where something went wrong in a source, and how the reader is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from airflow_mailchimp_export.errors import SourceError

_MAX_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A segment, or one of its files."""

    segment: str
    file: str = ""

    def error(self, problem: str) -> SourceError:
        """Say what is wrong here."""
        file = f", file {self.file!r}" if self.file else ""
        return SourceError(f"segment {self.segment!r}{file}: {problem}")


@contextmanager
def reading(location: SourceLocation) -> Iterator[None]:
    """Turn whatever a storage or a decoder raises into a :class:`SourceError`.

    Each storage library has errors of its own, so that nothing narrower than Exception catches them.
    """
    try:
        yield
    except (SourceError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise location.error("does not exist (any more).") from error
    except PermissionError as error:
        raise location.error(
            "may not be read: grant the worker's user or its conn_id the right to."
        ) from error
    except Exception as error:
        raise location.error(
            f"cannot be read to its end ({type(error).__name__}): it may be damaged, cut short or out of "
            "reach; the cause is in the log."
        ) from error


def listed(names: Iterable[str]) -> str:
    """Name what there is, at most the first few."""
    shown = [repr(name) for name in islice(names, _MAX_NAMES + 1)]
    return ", ".join([*shown[:_MAX_NAMES], "..."] if len(shown) > _MAX_NAMES else shown) or "nothing"
