"""What an ended run tells Airflow, and whoever reads it there: one model, small, and without any address."""

from __future__ import annotations

from airflow_mailchimp_export.published.models import PublishedReport

XCOM_KEY = "mailchimp_report"
"""Under which a task of an export publishes it."""

__all__ = ["XCOM_KEY", "PublishedReport"]
