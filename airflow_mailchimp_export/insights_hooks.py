"""The connection to Customer Insights of Airflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_mailchimp_export import legacy_form
from airflow_mailchimp_export.customer_insights.check import check_connection, failed_check
from airflow_mailchimp_export.customer_insights.client import DataverseClient, Pace
from airflow_mailchimp_export.customer_insights.identity import ApplicationUser, who_am_i
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.settings.connection_type import check_connection_type
from airflow_mailchimp_export.settings.insights import InsightsSettings, settings_of

PROMPT = Pace(attempts=3, deadline=20.0)
PROMPT_TIMEOUT = 20.0
"""Seconds that a request may take where somebody looks at a button, or asks again anyway."""


class CustomerInsightsHook(BaseHook):
    """Reads the organisation of a connection to Customer Insights.

    :param customer_insights_conn_id: the connection; it is looked up when it is needed, never before.
    """

    conn_name_attr = "customer_insights_conn_id"
    default_conn_name = "customer_insights_default"
    conn_type = "customer_insights"
    hook_name = "Dynamics 365 Customer Insights"

    if legacy_form.IS_NEEDED:

        @staticmethod
        def get_connection_form_widgets() -> dict[str, Any]:
            """Return a form field for each of the connection's extras."""
            return legacy_form.connection_form_widgets(CustomerInsightsHook.conn_type)

        @staticmethod
        def get_ui_field_behaviour() -> dict[str, Any]:
            """Return what is hidden, renamed and hinted at in the form."""
            return legacy_form.ui_field_behaviour(CustomerInsightsHook.conn_type)

    def __init__(self, customer_insights_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.customer_insights_conn_id = customer_insights_conn_id

    def get_conn(self) -> DataverseClient:
        """Return a client; the same as :meth:`client`."""
        return self.client()

    def settings(self) -> InsightsSettings:
        """Return the connection's settings as they are now.

        :raises ConfigError: names the field that is wrong.
        """
        connection = self.get_connection(self.customer_insights_conn_id)
        check_connection_type(
            self.customer_insights_conn_id,
            connection.conn_type,
            wanted=self.conn_type,
            service="Customer Insights",
        )
        return settings_of(connection)

    def client(self) -> DataverseClient:
        """Return a client with a pool of connections of its own; close it, or use it in ``with``.

        :raises ConfigError: when the connection is set up wrongly.
        """
        return DataverseClient(self.settings())

    def prompt_client(self) -> DataverseClient:
        """Return a client like :meth:`client`, but one that gives up soon, for who asks again later.

        :raises ConfigError: when the connection is set up wrongly.
        """
        return to_prompt_client(self.settings())

    def who(self) -> ApplicationUser:
        """Ask whom the organisation takes the connection for.

        :raises ExportError: it cannot be asked, or knows nobody of that name.
        """
        with self.client() as client:
            return who_am_i(client)

    def test_connection(self) -> tuple[bool, str]:
        """Say who reads, and whether segments could be read; it is what the Test button shows."""
        try:
            settings = self.settings()
            with to_prompt_client(settings) as client:
                return check_connection(client, settings)
        except ExportError as error:
            return failed_check(error)


def to_prompt_client(settings: InsightsSettings) -> DataverseClient:
    """Return a client that gives up soon."""
    return DataverseClient(replace(settings, timeout=min(settings.timeout, PROMPT_TIMEOUT)), pace=PROMPT)


def insights_client(conn_id: str) -> DataverseClient:
    """Return a client for the connection of a segment."""
    return CustomerInsightsHook(conn_id).client()
