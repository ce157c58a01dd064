"""What was found when a connection was tried out: obstacles, each with its remedy, and facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mailchimp_export.errors import sentences


class Mark(StrEnum):
    """What a point means for an export."""

    OK = "ok"
    NOTE = "note"
    UNKNOWN = "unknown"
    STOP = "stop"


class Topic(StrEnum):
    """What a point is about."""

    KEY = "Key"
    ROLE = "Role"
    DATA_CENTER = "Data center"
    AUDIENCE = "Audience"
    OPT_IN = "Opt-in"
    MERGE_FIELDS = "Merge fields"
    CONTACT_LIMIT = "Contact limit"
    CONSENT = "Consent"
    ALLOWED_DAGS = "Allowed DAGs"
    OTHER_FIELDS = "Other fields"


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was looked at.

    :param says: what was found, without a full stop.
    :param remedy: what to do about it; empty where there is nothing to do.
    :param dag_id: the DAG of the export that it is about; empty where it is about the connection.
    """

    topic: Topic
    mark: Mark
    says: str
    remedy: str = ""
    dag_id: str = ""


@dataclass(slots=True)
class Findings:
    """What was found, a line each: obstacles come first, because a toast is gone after some seconds.

    Airflow's page shows all of it as one paragraph, hence the full stops, and a mark before each obstacle.
    """

    obstacles: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def stop(self, happened: str, remedy: str) -> None:
        """Note what an export would be stopped by, and what to do about it."""
        self.obstacles.append(sentences(happened, remedy))

    def take(self, point: Point) -> None:
        """Note a point: an obstacle as such, anything else as a fact."""
        if point.mark is Mark.STOP:
            self.stop(point.says, point.remedy)
        else:
            self.facts.append(point.says)

    def result(self) -> tuple[bool, str]:
        """Return whether an export could run, and all that was found."""
        lines = [*(f"• {obstacle}" for obstacle in self.obstacles), *self.facts]
        return not self.obstacles, "\n".join(f"{line.rstrip('.')}." for line in lines)
