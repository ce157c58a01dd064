"""Exports segments of customer profiles to Mailchimp audiences, as an Apache Airflow provider."""

from __future__ import annotations

__version__ = "0.2.0"
