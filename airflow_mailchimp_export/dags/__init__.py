"""Airflow's DAGs of configured exports: public as ``airflow_mailchimp_export.dags``."""

from __future__ import annotations

from airflow_mailchimp_export.dags.building import check, exports
from airflow_mailchimp_export.dags.export_dag import export_dag
from airflow_mailchimp_export.dags.refresh_dag import refresh_dag

__all__ = ["check", "export_dag", "exports", "refresh_dag"]
