"""Names that users write, and what may have been meant."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.names import check_keys, did_you_mean, unknown_names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("timeuot", " (did you mean 'timeout'?)"),
        ("TIMEOUT", " (did you mean 'timeout'?)"),
        (" timeout ", " (did you mean 'timeout'?)"),
        ("server_prefi", " (did you mean 'Server_Prefix '?)"),
        ("xyz", ""),
        (7, ""),
    ],
)
def test_the_closest_is_named(name: object, hint: str) -> None:
    """The closest known name is proposed as it is spelled, whatever the case and the blanks at its ends."""
    assert did_you_mean(name, ["timeout", "Server_Prefix "]) == hint


def test_unknown_names_are_described() -> None:
    """Names that mean nothing come in their order, each with its own hint."""
    assert unknown_names(["uri", "fromat", 1], {"uri": 0, "format": 0}) == [
        "'fromat' (did you mean 'format'?)",
        "1",
    ]


def test_unknown_keys_are_refused() -> None:
    """The error names where it is, the unknown keys, and the allowed ones."""
    with pytest.raises(ConfigError) as caught:
        check_keys("options", {"keep_run": 1, "z": 2, "keep_runs": 3}, allowed=("keep_runs", "full"))
    assert str(caught.value) == (
        "options has unknown keys: 'keep_run' (did you mean 'keep_runs'?), 'z'. Allowed are keep_runs, full."
    )


def test_known_keys_pass() -> None:
    """Keys that are all known, or none at all, are right."""
    check_keys("options", {"full": 1}, allowed=iter(("keep_runs", "full")))
    check_keys("options", {}, allowed=())
