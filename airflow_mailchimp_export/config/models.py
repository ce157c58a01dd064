"""What may be in ``exports.yaml``, as a whole.

Whoever keeps their exports elsewhere makes a :class:`Configuration` of the same keys, and gives it to
:func:`airflow_mailchimp_export.dags.exports` in place of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, model_validator

from airflow_mailchimp_export.config.entries import Export, Refresh, Segment
from airflow_mailchimp_export.config.entry import Entry
from airflow_mailchimp_export.config.mistakes import Problem, Problems
from airflow_mailchimp_export.config.profiles import Profiles
from airflow_mailchimp_export.config.references import problems_of_references
from airflow_mailchimp_export.config.rules import problems_of_rules, runs_in_database
from airflow_mailchimp_export.config.values import Key, Line


class Configuration(Entry):
    """All of ``exports.yaml``: the segments, the DAG that builds them, and the exports."""

    profiles: Profiles = Field(
        default=Profiles(),
        description="the unified profiles: a file, a folder or a glob; or a mapping of where and how they are",
    )
    snapshots: Line = Field(
        description="the folder in which the refresh keeps the segments that it has built, on any storage"
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
        for key, problem in problems_of_rules(self.segments, self.profiles):
            yield Problem(("segments", key, *problem.path), problem.message)
        for name, problem in problems_of_references(self.exports, self.segments, self.refresh):
            yield Problem(("exports", name, *problem.path), problem.message)

    @property
    def enabled(self) -> dict[str, Export]:
        """The exports that have a DAG."""
        return {name: export for name, export in self.exports.items() if export.enabled}

    @property
    def built(self) -> dict[str, Segment]:
        """The segments that the refresh builds; those of Customer Insights are read by their exports."""
        return {key: segment for key, segment in self.segments.items() if not segment.segment}

    def reads_insights(self, export: Export) -> bool:
        """Whether an export reads segments of Customer Insights."""
        return any(self.segments[key].segment for key in export.segments)

    def names_of(self, export: Export) -> dict[str, str]:
        """Return the names of an export's segments, by their keys, in the export's order."""
        return {key: self.segments[key].name for key in export.segments}

    def warn_ratio(self, key: str) -> float:
        """Return by which part a segment may grow or shrink without a warning."""
        own = self.segments[key].warn_ratio
        return self.refresh.warn_ratio if own is None else own

    def source(self, key: str) -> dict[str, Any]:
        """Return where the profiles are that a segment is made of, as the operator takes it."""
        segment = self.segments[key]
        if segment.uri or segment.segment:
            return segment.given
        if not runs_in_database(segment, self.profiles):
            return self.profiles.given
        conn_id = segment.conn_id or self.profiles.conn_id
        sql = segment.sql or f"{self.profiles.named} SELECT * FROM profiles WHERE {segment.where}"
        return {"conn_id": conn_id, "sql": sql}

    def query(self, key: str) -> str:
        """Return the query over the files that selects a segment's profiles; empty where it is all of its source."""
        segment = self.segments[key]
        if segment.uri or segment.segment or runs_in_database(segment, self.profiles):
            return ""
        return segment.sql or f"FROM profiles WHERE {segment.where}"
