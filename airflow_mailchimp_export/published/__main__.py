"""Prints the JSON Schema of what is published of a run."""

from __future__ import annotations

import sys

from airflow_mailchimp_export.published.schema import json_schema_text

if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
