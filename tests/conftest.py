"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from scripts.sandbox_service import Sandbox, start_sandbox
from tests.kit.insights import Insights, as_it_was, some_profiles, started

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

REPOSITORY = Path(__file__).resolve().parent.parent


AUDIENCE = REPOSITORY / "samples" / "audience.csv"


@pytest.fixture(scope="session", autouse=True)
def groups_hold(request: pytest.FixtureRequest) -> None:
    """Nothing runs where pytest-xdist was asked to keep tests in one process and does not, as with pytest 9.2."""
    if not getattr(request.config.option, "loadgroup", False):
        return
    for item in request.session.items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
            pytest.fail(
                f"pytest {pytest.__version__} and pytest-xdist do not keep the tests of {group.args[0]!r} together; "
                "install what pyproject.toml says: make setup"
            )


@pytest.fixture(scope="session", autouse=True)
def no_power_failure() -> Iterator[None]:
    """Nothing waits for the disk: what a test has written is read back on the same machine, while that is on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


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


@pytest.fixture(scope="session")
def insights_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Insights]:
    """One local Customer Insights with some of the sample profiles for the whole session."""
    folder = tmp_path_factory.mktemp("insights")
    profiles = some_profiles(folder / "profiles.parquet", of=REPOSITORY / "samples" / "profiles.parquet")
    insights = started(folder, profiles)
    yield insights
    insights.service.stop()


@pytest.fixture
def insights(insights_process: Insights) -> Iterator[Insights]:
    """A local Customer Insights as it was at first."""
    with as_it_was(insights_process):
        yield insights_process
