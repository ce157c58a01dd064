"""What is needed of a client: it reads, and never writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from airflow_mailchimp_export.customer_insights.pages import Row

T = TypeVar("T")


class Reader(Protocol):
    """Reads an organisation's Web API, from any number of threads."""

    @property
    def max_connections(self) -> int:
        """Most requests in flight."""

    def get(self, path: str, read: Callable[[Any], T], *, what: str) -> T:
        """Ask for something.

        :param path: behind the API's version, with the query.
        :param read: makes the result of the JSON.
        :param what: is asked for, as the beginning of a sentence.
        :raises PassingFailure: it cannot be had at present.
        :raises Refusal: it cannot be had.
        """

    def pages(self, path: str, *, what: str, labels: bool = False) -> Iterator[list[Row]]:
        """Read rows to the last page, see :meth:`get`.

        :param labels: ask for the labels of choices too.
        :raises SourceError: a page cannot be had, or its link leads elsewhere or in a circle.
        """
