"""The local Customer Insights, and what a test wants of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from airflow_mailchimp_export.customer_insights.client import DataverseClient, Pace
from airflow_mailchimp_export.settings.insights import InsightsSettings
from scripts.insights_service import InsightsService, start_insights

RULES = {
    "VIP": "loyalty_tier = 'platinum' OR lifetime_value >= 1000",
    "Newsletter": "newsletter_opt_in",
    "Recent_buyers": "last_purchase >= (SELECT max(last_purchase) FROM profiles) - INTERVAL 90 DAY",
}
"""The segments that it has, by the names of their tables."""

HASTY = Pace(attempts=8, first_pause=0.001, longest_pause=0.005)
"""Hardly pauses, but where it is asked to."""


@dataclass(frozen=True, slots=True)
class Insights:
    """A local Customer Insights that answers.

    :param profiles: the file with its profiles.
    """

    service: InsightsService
    profiles: Path

    @property
    def client_id(self) -> str:
        """The app registration's."""
        return self.service.client_id

    @property
    def export(self) -> str:
        """The folder of its file export."""
        return self.service.export

    def settings(self, **parts: Any) -> InsightsSettings:
        """The settings of a connection that leads here."""
        given = {**self.connection(), **parts}
        return InsightsSettings.from_parts(
            login=given["login"],
            password=given["password"],
            host=given["host"],
            port=None,
            extra=given["extra"],
        )

    def client(self, **parts: Any) -> DataverseClient:
        """A client that hardly pauses."""
        return DataverseClient(self.settings(**parts), pace=HASTY)

    def connection(self) -> dict[str, Any]:
        """The connection that leads here, as Airflow writes connections in JSON."""
        return self.service.connection()

    def change(self, **settings: Any) -> None:
        """Change settings while it runs."""
        self.control("settings", settings)

    def control(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of a control endpoint; with a body it is a POST."""
        return self.service.control(name, body)

    def calls(self, last: int = 10_000) -> list[str]:
        """The last requests, oldest first, each as method and path."""
        return [
            f"{call['method']} {call['path']}" for call in self.control(f"requests?last={last}")["requests"]
        ]


def started(folder: Path, profiles: Path) -> Insights:
    """Start one with some profiles, and a file export."""
    options = ("--profiles", str(profiles), "--export-folder", str(folder / "export"))
    return Insights(start_insights(folder / "insights.log", *options), profiles)


def some_profiles(path: Path, *, of: Path) -> Path:
    """Write every tenth of some profiles into a file: few enough to be read often."""
    with duckdb.connect() as database:
        database.read_parquet(str(of)).create_view("profiles")
        some = database.sql(
            "SELECT * FROM profiles QUALIFY row_number() OVER (ORDER BY customer_id) % 10 = 0"
        )
        some.write_parquet(str(path))
    return path


def truth(insights: Insights, segment: str) -> Counter[Any]:
    """Address and first name of who is in a segment, out of the file that Customer Insights was given."""
    with duckdb.connect() as database:
        database.read_parquet(str(insights.profiles)).create_view("profiles")
        return Counter(
            database.sql(f"SELECT email, first_name FROM profiles WHERE {RULES[segment]}").fetchall()
        )


@contextmanager
def as_it_was(insights: Insights) -> Iterator[Insights]:
    """Lend it with its usual settings and data, and put the settings back in the end."""
    usual = insights.control("settings")
    insights.control("reset", {})
    insights.control("stats/reset", {})
    yield insights
    insights.control("faults/clear", {})
    insights.change(**usual)
