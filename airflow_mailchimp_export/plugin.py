"""The pages in Airflow's UI: what Airflow is told of them.

Every process of Airflow imports this, each task among them, so it imports nothing that only a web server needs: the
app behind the pages is imported with the first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

PREFIX = "/mailchimp"
"""Under which the API server serves what the pages need."""

_BASE = f"{urlsplit(conf.get('api', 'base_url', fallback='').strip()).path.rstrip('/')}{PREFIX}"

BUNDLE = f"{_BASE}/static/main.js"
"""With the path of Airflow's base URL: Airflow 3.1 takes no address that is relative to it."""

SIGN_IN = f"{_BASE}/sign-in"
"""A page by itself: what Airflow shows in a page of its own cannot lead to Mailchimp and back."""


class LazyApp:
    """An ASGI app that is imported when it is first asked for something.

    :param module: has the app under the name ``app``.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await import_module(self._module).app(scope, receive, send)


LABEL = "Mailchimp"
"""What the navigation and the tabs say; under the same name the bundle puts its component."""


def _page(destination: str, route: str) -> dict[str, Any]:
    return {"name": LABEL, "bundle_url": BUNDLE, "destination": destination, "url_route": route}


APPS = [
    {"app": LazyApp("airflow_mailchimp_export.pages.app"), "url_prefix": PREFIX, "name": "Mailchimp exports"}
]

PAGES = [
    {**_page("nav", "mailchimp"), "category": "browse"},
    _page("dag", "mailchimp-export"),
    _page("dag_run", "mailchimp-run"),
]

LINKS = [{"name": "Mailchimp sign-in", "href": SIGN_IN, "destination": "nav", "category": "admin"}]


class MailchimpExportPlugin(AirflowPlugin):
    """The page of all exports, a tab on a DAG, a tab on a run, and a link to the page for signing in."""

    name = "airflow_mailchimp_export"
    fastapi_apps = APPS
    react_apps = PAGES
    external_views = LINKS
