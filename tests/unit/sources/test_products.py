"""What products and engines write is read with the options that docs/files.md names for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = REPOSITORY / "tests" / "fixtures" / "files"
PAGE = (REPOSITORY / "docs" / "files.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| (.+?) \| `([^`]+)` \| `(\{.*\})` \|$", PAGE.split("## What products write")[1], re.MULTILINE
)
PRODUCTS = {name: (address, ast.literal_eval(options.replace("\\|", "|"))) for name, address, options in ROWS}
FILE_OF = {
    "Mailchimp, audience export": "mailchimp.csv",
    "HubSpot, contacts": "hubspot.csv",
    "Salesforce, data loader": "salesforce.csv",
    "Salesforce, report": "salesforce-report.csv",
    "Shopify, customers": "shopify-customers.csv",
    "Shopify, orders": "shopify-orders.csv",
    "WooCommerce, customers": "woocommerce.csv",
    "Klaviyo, profiles": "klaviyo.csv",
    "Brevo, contacts": "brevo.csv",
    "Stripe, customers": "stripe.csv",
    "Google Contacts": "google-contacts.csv",
    "Outlook, contacts": "outlook.csv",
    "Excel, German": "excel-german.csv",
    "Excel, Swedish": "excel-swedish.csv",
    "Facebook, leads": "facebook-leads.csv",
    "LinkedIn, connections": "linkedin-connections.csv",
    "PostgreSQL, COPY as CSV": "postgres-copy-csv.csv",
    "PostgreSQL, COPY as text": "postgres-copy-text.txt",
    "MariaDB, INTO OUTFILE": "mariadb-outfile.txt",
    "Hive, text": "hive-text.txt",
    "Redshift, UNLOAD": "redshift-unload.txt",
    "Snowflake, unload": "snowflake-unload.csv",
    "Spark, CSV": "spark.csv",
    "BigQuery, JSON lines": "bigquery.jsonl",
}


def opened(product: str, *columns: str) -> Source:
    """Open what a product wrote, with the options that the page names."""
    _, options = PRODUCTS[product]
    (segment,) = parse_segments({"S": {"uri": str(FILES / FILE_OF[product]), **options}})
    return open_source(segment, columns)


def read(product: str, *columns: str) -> list[tuple[Any, ...]]:
    """Read some columns of what a product wrote."""
    source = opened(product, *columns)
    return [tuple(row.values()) for batch in source.batches() for row in batch.to_pylist()]


def test_each_product_has_a_file() -> None:
    """Each row of the page is tried, and each file is of a row."""
    assert PRODUCTS.keys() == FILE_OF.keys()
    assert {file.name for file in FILES.iterdir() if file.suffix != ".parquet"} == set(FILE_OF.values())


@pytest.mark.parametrize("product", FILE_OF)
def test_everybody_is_read(product: str) -> None:
    """With these options both people are read, and nothing else."""
    address, _ = PRODUCTS[product]
    emails = [email.lower() for (email,) in read(product, address)]
    assert list(dict.fromkeys(emails)) == ["mia@inkwell.invalid", "noa@inkwell.invalid"]


@pytest.mark.parametrize(
    ("product", "columns", "values"),
    [
        (
            "Salesforce, data loader",
            ["FIRSTNAME", "MAILINGSTREET"],
            [("Mia", "3 Quay St\nFloor 2"), ('Noa "N"', None)],
        ),
        ("Salesforce, report", ["Mailing City"], [("Leeds",), ("Malmö",)]),
        ("Outlook, contacts", ["Last Name"], [("Berg",), ("Lindström",)]),
        ("Excel, German", ["Nachname", "PLZ"], [("Berg", "01067"), ("Lößnitz", "80331")]),
        ("Excel, Swedish", ["Förnamn"], [("Mia",), ("Noa",)]),
        ("Facebook, leads", ["full_name"], [("Mia Berg",), ("Noa Lind",)]),
        ("PostgreSQL, COPY as CSV", ["first", "last"], [("Mia", 'Berg, "M"'), ("N\noa", None)]),
        ("PostgreSQL, COPY as text", ["first", "last"], [("Mia", "Berg\\x"), ("N\noa", None)]),
        ("MariaDB, INTO OUTFILE", ["first", "last"], [("Mia", "Berg\\x"), ("N\noa", None)]),
        ("Hive, text", ["first", "last"], [("Mia", "Berg"), ("Noa", None)]),
        ("Spark, CSV", ["first", "last"], [('Mia "M" Berg', "C:\\new"), ("Noa", None)]),
        (
            "BigQuery, JSON lines",
            ["contact.zip", "vip", "born"],
            [("01234", "true", None), (None, None, "1991-06-05")],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values(product: str, columns: list[str], values: list[tuple[str | None, ...]]) -> None:
    """The values are what was meant."""
    assert read(product, *columns) == values


@pytest.mark.parametrize(
    ("product", "places"),
    [
        ("Excel, Swedish", ["excel-swedish.csv:3", "excel-swedish.csv:4"]),
        ("LinkedIn, connections", ["linkedin-connections.csv:5", "linkedin-connections.csv:6"]),
        ("Redshift, UNLOAD", ["redshift-unload.txt:1", "redshift-unload.txt:2"]),
        ("BigQuery, JSON lines", ["bigquery.jsonl:1", "bigquery.jsonl:3"]),
    ],
)
def test_places(product: str, places: list[str]) -> None:
    """Rows are counted with what stands before them."""
    source = opened(product, PRODUCTS[product][0])
    assert sum(batch.num_rows for batch in source.batches()) == len(places)
    assert [source.locate(row) for row in range(len(places))] == places


def test_columns_are_text() -> None:
    """Whatever a product writes, its columns are text."""
    assert opened("Stripe, customers", "Email", "Total Spend").schema.types == [pa.string()] * 2
