"""The tasks of a refresh that another system does."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task

from airflow_mailchimp_export.config.calling import Http
from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.operators.refreshed_elsewhere import RefreshedElsewhereOperator


def add_call(http: Http) -> Any:
    """Add the tasks that call the system and wait for it; return the last of them."""

    # A second call would let it do everything twice.
    @task(retries=0)
    def call() -> str:
        """Let the other system begin."""
        from airflow_mailchimp_export import refresh_calls

        request = refresh_calls.Request(http.conn_id, http.endpoint, http.method, http.data, http.headers)
        with failing_in_short():
            return refresh_calls.call(request, http.done.endpoint if http.done else "")

    called = call()
    if not http.done:
        return called
    return RefreshedElsewhereOperator(
        task_id="wait",
        conn_id=http.conn_id,
        endpoint=called,
        headers=http.headers,
        path=http.done.path,
        done=http.done.values,
        failed=http.done.failed,
        poll=http.poll,
        wait_timeout=http.timeout_hours * 3600,
        # While it cannot be reached it is asked again anyway, and what has failed there stays so.
        retries=0,
    )
