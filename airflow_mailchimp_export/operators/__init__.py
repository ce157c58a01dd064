"""The operators of an export: submit it, and account for it."""

from __future__ import annotations

from airflow_mailchimp_export.operators.report import MailchimpExportReportOperator
from airflow_mailchimp_export.operators.segments import SegmentToMailchimpOperator
from airflow_mailchimp_export.operators.waiting import DEFAULT_WAIT_TIMEOUT

__all__ = ["DEFAULT_WAIT_TIMEOUT", "MailchimpExportReportOperator", "SegmentToMailchimpOperator"]
