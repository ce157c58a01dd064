"""Values of settings, whose parsers other tests reach only in part."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.settings.coercion import InvalidValue, id_list


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        ((), []),
        ([["a"], [], ("b", "c")], ["a", "b", "c"]),
        (["a", ["b", ["c"]]], ["a", "b", "c"]),
        ('["a", ["b"]]', ["a", "b"]),
        ("[]", []),
    ],
)
def test_lists_of_ids(value: Any, ids: list[str]) -> None:
    """Ids come in a list, in lists of lists, or as JSON text of either, and keep their order."""
    assert id_list(value) == ids


@pytest.mark.parametrize("value", [None, "a", 7, {"a": 1}, ["a", None], [["a"], 7], '{"a": 1}', "[7]"])
def test_no_lists_of_ids(value: Any) -> None:
    """Text alone, a number, nothing, or a list with such an entry is refused."""
    with pytest.raises(InvalidValue, match="a list of ids, or of such lists"):
        id_list(value)
