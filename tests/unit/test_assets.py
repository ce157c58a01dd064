"""The audience as an asset."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from airflow_mailchimp_export.assets import sanitize_uri


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mailchimp://us21/a1b2c3d4e5", "mailchimp://us21/a1b2c3d4e5"),
        ("mailchimp://US21/A1b2", "mailchimp://us21/A1b2"),
        ("mailchimp://127.0.0.1:8080/a1b2c3d4e5", "mailchimp://127.0.0.1:8080/a1b2c3d4e5"),
    ],
)
def test_one_form(written: str, meant: str) -> None:
    """The data center counts without case, and the audience's id letter by letter."""
    assert sanitize_uri(urlsplit(written)).geturl() == meant


@pytest.mark.parametrize(
    "written",
    [
        "mailchimp:///a1b2c3d4e5",
        "mailchimp://us21",
        "mailchimp://us21/",
        "mailchimp://us21/lists/a1b2c3d4e5",
        "mailchimp://us21/a1b2c3d4e5?x=1",
        "mailchimp://us21/a b",
    ],
)
def test_anything_else(written: str) -> None:
    """A DAG that waits for what no export ever publishes would wait for ever: it is told so."""
    with pytest.raises(ValueError, match="such as mailchimp://us21/a1b2c3d4e5"):
        sanitize_uri(urlsplit(written))
