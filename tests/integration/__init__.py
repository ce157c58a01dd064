"""The shipped DAGs in a whole Airflow: scheduler, triggerer, DAG processor and API server."""

from __future__ import annotations
