"""Airflow and the sandbox, started for trying out and for tests."""

from __future__ import annotations
