"""Databases that run here, each with a place of the tests' own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.databases import Database, mariadb, postgres


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Database]:
    """A schema of PostgreSQL."""
    with postgres() as database:
        yield database


@pytest.fixture(scope="module")
def maria() -> Iterator[Database]:
    """A database of MariaDB."""
    with mariadb() as database:
        yield database
