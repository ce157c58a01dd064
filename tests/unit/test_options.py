"""The options of an export, and its name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.options import MAX_EXPORT_NAME_LENGTH, OPTIONS, ExportOptions, parse_export_name
from airflow_mailchimp_export.settings.segments import (
    FileSpec,
    parse_segments,
)


class TestOptions:
    """What is seldom changed."""

    def test_defaults(self) -> None:
        """Without options each has its default."""
        assert ExportOptions.from_value(None) == ExportOptions(
            new_member_status=MemberStatus.SUBSCRIBED,
            max_profiles=1_000_000,
            max_reject_ratio=0.5,
            create_merge_fields=False,
            skip_merge_validation=False,
        )

    def test_every_option_is_parsed(self) -> None:
        """Each option has its own parser."""
        assert set(OPTIONS) == {option.name for option in dataclasses.fields(ExportOptions)}

    def test_values(self) -> None:
        """Options are coerced, as templates give text."""
        assert ExportOptions.from_value(
            {
                "new_member_status": "Pending",
                "max_profiles": "5000",
                "max_reject_ratio": "0.25",
                "create_merge_fields": "true",
                "skip_merge_validation": None,
            }
        ) == ExportOptions(
            MemberStatus.PENDING, max_profiles=5000, max_reject_ratio=0.25, create_merge_fields=True
        )

    def test_json_text(self) -> None:
        """Options may be JSON text, as a template gives it."""
        assert ExportOptions.from_value('{"max_profiles": 3, "profile_id": null}').max_profiles == 3

    def test_made_options_pass(self) -> None:
        """Options that were made in Python pass as they are."""
        options = ExportOptions(max_profiles=7)
        assert ExportOptions.from_value(options) == options

    def test_made_options_are_checked(self) -> None:
        """Options that were made in Python are checked anyway."""
        with pytest.raises(ConfigError, match="options: max_profiles must be a whole number from 1 upwards"):
            ExportOptions.from_value(ExportOptions(max_profiles=0))

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (
                {"new_member_status": "cleaned"},
                "options: new_member_status must be 'subscribed' or 'pending' or 'transactional'; "
                "given was text of 7 characters.",
            ),
            ({"max_profiles": True}, "options: max_profiles must be a number; given was a switch"),
            ({"max_reject_ratio": 50}, "options: max_reject_ratio must be a number from 0 to 1"),
            ({"create_merge_fields": "maybe"}, "options: create_merge_fields must be true or false"),
            (
                {"max_profile": 1},
                "options has unknown keys: 'max_profile' (did you mean 'max_profiles'?). "
                "Allowed are new_member_status, max_profiles",
            ),
            ({1: 2}, "options must be a mapping with names as keys"),
            ("[]", "options must be a mapping with names as keys; given was text of 2 characters."),
            (
                "max_profiles",
                "options must be a mapping with names as keys; given was text of 12 characters.",
            ),
            ("{'max_profiles': 1}", "options must be JSON where it begins with { or ["),
        ],
    )
    def test_wrong_options(self, value: Any, says: str) -> None:
        """What is wrong is told by the option's name, with what it must be and the kind that was given."""
        with pytest.raises(ConfigError, match=re.escape(says)):
            ExportOptions.from_value(value)


class TestExportName:
    """The name of an export's folder."""

    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("dag.task-1_A", "dag.task-1_A"),
            ("a/b c", "a~2fb~20c"),
            ("é~", "~c3~a9~7e"),
            (".", "~2e"),
            ("..", "~2e~2e"),
            (" padded ", "padded"),
        ],
    )
    def test_folders(self, name: str, folder: str) -> None:
        """Ordinary names stay as they are; what a folder cannot bear is escaped."""
        assert parse_export_name(name) == folder

    @pytest.mark.parametrize("name", ["", "  ", None, 7, "a\nb"])
    def test_wrong_names(self, name: Any) -> None:
        """A name that is empty or not one line of text is refused."""
        with pytest.raises(ConfigError, match="export_name"):
            parse_export_name(name)

    def test_long_names(self) -> None:
        """Long names are cut to what file systems bear, and stay apart."""
        one, other = parse_export_name("x" * 500), parse_export_name("x" * 501)
        assert len(one) == len(other) == MAX_EXPORT_NAME_LENGTH
        assert one != other

    @given(st.tuples(st.text(), st.text()))
    def test_names_never_share_a_folder(self, names: tuple[str, str]) -> None:
        """Two names get the same folder only where they differ by the blanks around them."""
        try:
            one, other = map(parse_export_name, names)
        except ConfigError:
            return
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", one)
        assert one not in {".", ".."}
        assert (one == other) == (names[0].strip() == names[1].strip())


def test_mappings_of_any_kind() -> None:
    """Whatever is a mapping can be options and segments, as Airflow wraps what it hands over."""

    class Wrapped(dict[str, object]):
        pass

    options: Mapping[str, object] = Wrapped(max_profiles=3)
    assert ExportOptions.from_value(options).max_profiles == 3
    assert parse_segments(Wrapped(VIP=Wrapped(uri="x.csv")))[0].source == FileSpec("x.csv")
