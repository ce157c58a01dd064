"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from scripts.sandbox_service import Sandbox, start_sandbox

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

REPOSITORY = Path(__file__).resolve().parent.parent


AUDIENCE = REPOSITORY / "samples" / "audience.csv"


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox process for the whole session."""
    sandbox = start_sandbox(tmp_path_factory.mktemp("sandbox") / "sandbox.log")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """An empty sandbox with its usual settings; ``sandbox.load(AUDIENCE)`` puts the shipped audience in."""
    sandbox_process.reset()
    settings = sandbox_process.settings()
    yield sandbox_process
    sandbox_process.change(**settings)
