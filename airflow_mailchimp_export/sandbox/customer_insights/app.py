"""Customer Insights - Data as one ASGI application."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from airflow_mailchimp_export.sandbox.customer_insights.control import Control
from airflow_mailchimp_export.sandbox.customer_insights.control_data import ControlData
from airflow_mailchimp_export.sandbox.customer_insights.exchange import Endpoint
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.page import to_page

SUBTITLE = "A local imitation of Customer Insights - Data. Nobody in it is real."
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


def to_app(organisation: Organisation) -> Starlette:
    """Everything that the sandbox serves."""
    endpoint = Endpoint(organisation)
    routes = [
        *Control(organisation).routes(),
        *ControlData(organisation).routes(),
        Route("/", to_page("Customer Insights sandbox", SUBTITLE, SCRIPT)),
        Route("/{tenant}/oauth2/v2.0/token", endpoint, methods=["POST"]),
        Mount("/api/data", endpoint),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app
