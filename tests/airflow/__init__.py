"""The Airflow shell and the shipped DAGs, through real Airflow."""

from __future__ import annotations
