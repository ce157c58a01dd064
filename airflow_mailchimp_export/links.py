"""The links that Airflow shows beside a task of an export.

Airflow asks for them in the task's process, when the task ends, whether it has succeeded or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator


@runtime_checkable
class HasPages(Protocol):
    """A task that knows where a browser shows what it did."""

    def audience_page(self) -> str:
        """Return the page of the audience; empty where that is not known."""


class RunOfTask(Protocol):
    """One run of a task, as Airflow knows it."""

    dag_id: str
    run_id: str


class RunLink(BaseOperatorLink):
    """A link to something that the run of a task is about."""

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return where the link leads; empty, which Airflow shows as no link, where nobody knows."""
        return self.page_of(operator, ti_key) if isinstance(operator, HasPages) else ""

    def page_of(self, task: HasPages, instance: RunOfTask) -> str:
        """Return the page that the link shows.

        :param instance: which run of the task it is.
        """
        raise NotImplementedError


class AudienceLink(RunLink):
    """The audience in Mailchimp; with the sandbox, the sandbox's page."""

    name = "Audience in Mailchimp"

    def page_of(self, task: HasPages, instance: RunOfTask) -> str:
        """Return the page of the audience."""
        return task.audience_page()


PAGES = "/plugin/mailchimp"
"""Where Airflow's UI has the pages of exports, under its base URL."""


class AccountLink(RunLink):
    """The run on the page of this package in Airflow's UI, which all releases since 3.1 have."""

    name = "Account of the run"

    def page_of(self, task: HasPages, instance: RunOfTask) -> str:
        """Return the page of the run; without the host where Airflow has no base URL configured."""
        base = (conf.get("api", "base_url", fallback="") or "").strip().rstrip("/")
        dag_id, run_id = quote(instance.dag_id, safe=""), quote(instance.run_id, safe="")
        return f"{base}{PAGES}?dag_id={dag_id}&run_id={run_id}"


LINKS = (AudienceLink(), AccountLink())
"""Those of every task that works on a run."""
