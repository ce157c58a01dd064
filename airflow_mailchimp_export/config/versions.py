"""Which keys of an export need which releases of Airflow and its providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from packaging.version import Version

from airflow_mailchimp_export.config.mistakes import KeyPath, Problem, Problems


@dataclass(frozen=True, slots=True)
class Need:
    """What a key needs.

    :param what: what these releases have.
    :param releases: the lowest of each package.
    """

    what: str
    releases: Mapping[str, str]


APPROVAL: Final = Need(
    "human-in-the-loop operators",
    {"apache-airflow-core": "3.1", "apache-airflow-providers-standard": "1.9"},
)

DEADLINES: Final = Need("deadlines of runs", {"apache-airflow-core": "3.1"})

SEVERAL_DEADLINES: Final = Need("several deadlines of a run", {"apache-airflow-core": "3.2"})


def installed(package: str) -> Version | None:
    """Return the release of a package that is installed; ``None`` where it is not."""
    try:
        return Version(version(package))
    except PackageNotFoundError:
        return None


def check_need(need: Need, *, at: KeyPath = (), found: Callable[[str], Version | None] = installed) -> None:
    """Let no key pass that the installed Airflow cannot do.

    :param at: where the key stands.
    :raises Problems: names what lacks, and the releases that have it.
    """
    have = {package: found(package) for package in need.releases}
    lacking = [
        f"{package} {lowest} or later ({f'installed is {now}' if now else 'it is not installed'})"
        for package, lowest in need.releases.items()
        # A release candidate has what its release will have.
        if (now := have[package]) is None or now.release < Version(lowest).release
    ]
    if lacking:
        raise Problems(
            [Problem(at, f"needs {need.what}, of {' and '.join(lacking)}: install it, or remove the key")]
        )
