"""What may be in ``exports.yaml``, as a whole.

Whoever keeps their exports elsewhere makes a :class:`Configuration` of the same keys, and gives it to
:func:`airflow_mailchimp_export.dags.exports` in place of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from airflow_mailchimp_export.config.entries import Entry, Export, Refresh, Segment
from airflow_mailchimp_export.config.mistakes import Problem, Problems
from airflow_mailchimp_export.config.references import problems_of_references
from airflow_mailchimp_export.config.values import Key, Line, LocalFolder


class Configuration(Entry):
    """All of ``exports.yaml``: the segments, the DAG that builds them, and the exports."""

    profiles: Line = Field(description="the unified profiles: a Parquet file, or a glob of several")
    snapshots: LocalFolder = Field(
        description="the folder in which the refresh keeps one file for each segment"
    )
    refresh: Refresh = Field(default=Refresh(), description="the DAG that builds the segments")
    segments: dict[Key, Segment] = Field(description="the segments, by their keys")
    exports: dict[Key, Export] = Field(default={}, description="the exports, by their names")

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        if problems := list(self._problems()):
            raise Problems(problems)
        return self

    def _problems(self) -> Iterator[Problem]:
        for name, problem in problems_of_references(self.exports, self.segments, self.refresh.name):
            yield Problem(("exports", name, *problem.path), problem.message)

    @property
    def enabled(self) -> dict[str, Export]:
        """The exports that have a DAG."""
        return {name: export for name, export in self.exports.items() if export.enabled}

    def snapshot(self, key: str) -> str:
        """Return the file of a segment."""
        return f"{self.snapshots.rstrip('/')}/{key}.parquet"

    def snapshots_of(self, export: Export) -> dict[str, str]:
        """Return the file of each segment of an export, by the segments' names, in the export's order."""
        return {self.segments[key].name: self.snapshot(key) for key in export.segments}
