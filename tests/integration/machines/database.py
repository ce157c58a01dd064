"""A database of one's own on the PostgreSQL of this machine."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from scripts.services import LOOPBACK

ADMINISTRATOR = os.environ.get("POSTGRES_TEST_URL", f"postgresql://postgres@{LOOPBACK}:5432/postgres")


def missing_database() -> str:
    """Say why there is none."""
    import psycopg2

    try:
        psycopg2.connect(ADMINISTRATOR, connect_timeout=5).close()
    except psycopg2.OperationalError as error:
        return f"PostgreSQL does not let us in: {str(error).strip()}"
    return ""


@dataclass
class Database:
    """A role and a database, as the image of PostgreSQL makes them of its settings; they go when the test is over."""

    name: str = field(default_factory=lambda: f"airflow_{secrets.token_hex(6)}")
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """What has to be in ``.env``."""
        return {"POSTGRES_USER": self.name, "POSTGRES_DB": self.name, "POSTGRES_PASSWORD": self.password}

    def __enter__(self) -> Self:
        self._run(
            f"CREATE ROLE {self.name} LOGIN PASSWORD '{self.password}'",
            f"CREATE DATABASE {self.name} OWNER {self.name}",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(f"DROP DATABASE {self.name} WITH (FORCE)", f"DROP ROLE {self.name}")

    def _run(self, *statements: str) -> None:
        import psycopg2

        connection: Any = psycopg2.connect(ADMINISTRATOR)
        # Databases are made and dropped outside of transactions.
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()
