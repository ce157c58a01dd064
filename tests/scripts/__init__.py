"""What starts Airflow and the sandbox."""

from __future__ import annotations
