"""Paths of earlier releases that users import from."""

from __future__ import annotations

from importlib import import_module

import pytest

from airflow_mailchimp_export import options


def test_options_at_their_old_path() -> None:
    """What used to be in config is found there, with a warning that names the new place."""
    with pytest.warns(DeprecationWarning, match="import it from airflow_mailchimp_export.options"):
        assert import_module("airflow_mailchimp_export.config").ExportOptions is options.ExportOptions


@pytest.mark.parametrize("name", ["Nothing", "_segment", "__wrapped__"])
def test_what_never_was_there(name: str) -> None:
    """A name that config never had is an error as everywhere."""
    with pytest.raises(AttributeError, match=name):
        getattr(import_module("airflow_mailchimp_export.config"), name)
