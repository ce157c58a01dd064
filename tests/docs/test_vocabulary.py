"""Every option, field, count and reason that the code has is explained, and none that it has not."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

import pytest

from airflow_mailchimp_export import accounts, provider_info, run_folder
from airflow_mailchimp_export.config import OPTIONS, ExportOptions
from airflow_mailchimp_export.connection import EXTRAS, ConnectionSettings
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.field_map import remedy_for
from airflow_mailchimp_export.mailchimp.refusals import REMEDIES, SUPPRESSING
from airflow_mailchimp_export.merge_values import Problem, WarningKind, converter
from airflow_mailchimp_export.model import MergeField, Reason, Verdict
from airflow_mailchimp_export.report import Counts, Report
from tests.docs.pages import REPOSITORY, Page, page, plain, spans

KEY = "0123456789abcdef0123456789abcdef-us21"
FORM = provider_info.get_provider_info()["connection-types"][0]


def columns(rows: list[tuple[str, ...]], *numbers: int) -> list[tuple[str, ...]]:
    """Pick some columns, without backticks."""
    return [tuple(plain(row[number]) for number in numbers) for row in rows]


def first(rows: list[tuple[str, ...]]) -> list[str]:
    """Pick the first column, in which a row may name several words."""
    return [name for row in rows for name in spans(row[0])]


class TestConnection:
    """docs/connection.md."""

    FIELDS = page("connection").table("Fields", "field", "key", "default", "example", "meaning")

    def test_fields(self) -> None:
        """The table has the fields of the form, by the form's labels, in its order."""
        labels = {key: field["label"] for key, field in FORM["conn-fields"].items()}
        standard = {"password": "API key or OAuth token", "host": "Base URL", "port": "Port"}
        relabelled = FORM["ui-field-behaviour"]["relabeling"]
        assert relabelled.items() <= standard.items()
        assert columns(self.FIELDS, 1, 0) == [*standard.items(), *labels.items()]
        assert {key: extra.label for key, extra in EXTRAS.items()} == labels

    def test_defaults(self) -> None:
        """The defaults are those of the settings and of the form."""
        settings = {one.name: one.default for one in fields(ConnectionSettings)}
        for key, default in columns(self.FIELDS[3:], 1, 2):
            assert default == _spelled(settings[key])
            assert default == _spelled(FORM["conn-fields"][key]["schema"].get("default"))

    def test_examples(self) -> None:
        """Every example is a value that its field takes."""
        for key, example in columns(self.FIELDS, 1, 3):
            settings = _settings(**{key: example})
            assert settings != _settings() or key in ("password", "host", "port", "server_prefix")

    def test_errors(self) -> None:
        """Every error that is shown is what that value brings about."""
        for key, value, message in columns(
            page("connection").table("What is wrong with a value", "key", "value", "error"), 0, 1, 2
        ):
            with pytest.raises(ConfigError) as caught:
                _settings(**{key: value})
            assert str(caught.value) == message

    def test_errors_of_each_field(self) -> None:
        """Every field that can be wrong is among the errors."""
        shown = {
            plain(row[0])
            for row in page("connection").table("What is wrong with a value", "key", "value", "error")
        }
        assert shown == {"password", "host", "port", *EXTRAS} - {"export_user"}


def _settings(**given: str) -> ConnectionSettings:
    parts: dict[str, Any] = {"password": KEY, "host": None, "port": None, "schema": None}
    extra = {key: value for key, value in given.items() if key not in parts}
    return ConnectionSettings.from_parts(
        **{**parts, **{key: given[key] for key in given if key in parts}}, extra=extra
    )


def _spelled(default: object) -> str:
    if default is MISSING or default in (None, "", ()):
        return ""
    return str(default).lower().removesuffix(".0")


def _operator(name: str) -> Callable[..., Any]:
    from airflow_mailchimp_export import operators, sensors

    found: Callable[..., Any] = getattr(operators, name, None) or getattr(sensors, name)
    return found


class TestExport:
    """docs/export.md."""

    @pytest.mark.parametrize(
        ("name", "heading"),
        [
            ("SegmentToMailchimpOperator", "The operator"),
            ("MailchimpBatchSensor", "One task or three"),
            ("MailchimpExportReportOperator", "One task or three"),
        ],
    )
    def test_parameters(self, name: str, heading: str) -> None:
        """The tables have the parameters of the operators, with their defaults."""
        text = page("export").text
        after = text[text.index(f"`{name}`:\n") if f"`{name}`:\n" in text else 0 :]
        table = _Fragment(after).table(
            heading if f"# {heading}\n" in after else "", "parameter", "default", "meaning"
        )
        signature = inspect.signature(_operator(name).__init__)
        own = {
            parameter.name: parameter.default
            for parameter in signature.parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        shown = dict(columns(table, 0, 1))
        assert list(shown) == list(own)
        for parameter, default in own.items():
            wanted = "required" if default is inspect.Parameter.empty else repr(default).replace("'", '"')
            assert shown[parameter] == ("Airflow's" if parameter == "deferrable" else wanted)

    def test_template_fields(self) -> None:
        """The sentence on templates names the operator's template fields."""
        sentence = next(line for line in page("export").prose.splitlines() if line.endswith("are templates."))
        assert set(spans(sentence)) == set(_operator("SegmentToMailchimpOperator").template_fields)  # type: ignore[attr-defined]

    def test_options(self) -> None:
        """The table has the options, with their defaults."""
        shown = columns(page("export").table("Options", "option", "default", "meaning"), 0, 1)
        defaults = [(one.name, one.default) for one in fields(ExportOptions)]
        assert [name for name, _ in defaults] == list(OPTIONS)
        assert shown == [
            (name, repr(getattr(value, "value", value)).replace("'", '"')) for name, value in defaults
        ]

    def test_segment_keys(self) -> None:
        """The table has the keys that a segment takes."""
        from airflow_mailchimp_export.config import parse_segments

        with pytest.raises(ConfigError) as caught:
            parse_segments({"VIP": {"uri": "x.csv", "mistyped": 1}})
        allowed = str(caught.value).partition("Allowed are ")[2].rstrip(".").split(", ")
        assert sorted(first(page("export").table("Segments", "key", "meaning"))) == sorted(allowed)

    def test_field_map_keys(self) -> None:
        """The table has the keys that an entry of the field map takes."""
        from airflow_mailchimp_export.field_map import parse_field_map

        with pytest.raises(ConfigError) as caught:
            parse_field_map({"EMAIL": "email", "FNAME": {"mistyped": 1}})
        known = str(caught.value).partition("known are ")[2].split(", ")
        assert [row[0] for row in columns(page("export").table("Field map", "key", "meaning"), 0)] == [
            name for name in ("column", "parts", "blank", "default") if name in known
        ]
        assert len(known) == 4

    TYPES = page("export").table("What each type takes", "type", "value at the source", "sent")

    @pytest.mark.parametrize("row", columns(TYPES, 0, 1, 2), ids=" ".join)
    def test_types(self, row: tuple[str, str, str]) -> None:
        """Every value becomes what the table says, or is the problem that it says."""
        merge_type, given, sent = row
        field = MergeField("FIELD", "Field", merge_type, choices=("Gold", "Silver"))
        converted = converter(field)(eval(given, {"datetime": datetime}))
        if isinstance(converted, Problem):
            assert converted.kind == WarningKind(sent)
        else:
            assert converted == eval(sent)

    def test_all_types(self) -> None:
        """Every type of merge field that Mailchimp has is in the table."""
        from airflow_mailchimp_export.sandbox.merge_fields import MergeType

        assert {row[0] for row in columns(self.TYPES, 0)} == {kind.value for kind in MergeType}

    def test_files(self) -> None:
        """The table has the files that a run leaves."""
        names = {
            value for name, value in vars(run_folder).items() if name.isupper() and isinstance(value, str)
        }
        shown = set(first(page("export").table("Files", "file", "what is in it")))
        assert shown == {name for name in names if "." in name}


class _Fragment(Page):
    """A part of a page."""

    def __init__(self, text: str) -> None:
        super().__init__("a part of docs/export.md")
        self.__dict__["text"] = text

    def _below(self, heading: str) -> str:
        return super()._below(heading) if heading else self.prose


class TestReport:
    """docs/report.md."""

    def test_keys(self) -> None:
        """The table has the keys of report.json."""
        assert first(page("report").table("report.json", "key", "meaning")) == [
            one.name for one in fields(Report)
        ]

    @pytest.mark.parametrize("one", [page("report"), Page("README.md")], ids=["report", "readme"])
    def test_counts(self, one: Page) -> None:
        """The tables of counts name only counts, and that of the report all of them."""
        heading = "Counts" if one.name.startswith("docs") else "What the report says"
        shown = first(one.table(heading, "count", "meaning"))
        names = [count.name for count in fields(Counts)]
        assert set(shown) <= set(names)
        assert heading != "Counts" or shown == names

    def test_columns(self) -> None:
        """The table has the columns of rejects.csv, in their order."""
        assert (
            tuple(first(page("report").table("rejects.csv", "column", "meaning"))) == accounts.REJECT_COLUMNS
        )

    def test_reasons(self) -> None:
        """The table has every reason, how it is counted, and its remedy."""
        shown = page("report").table("Reasons", "reason", "counted as", "remedy")
        assert columns(shown, 0, 1, 2) == [
            (reason.value, _counted_as(reason), REMEDIES[reason]) for reason in Reason
        ]

    def test_warnings(self) -> None:
        """The table has every kind of warning, and its remedy."""
        field = MergeField("FIELD", "Field", "dropdown", choices=("Gold", "Silver"))
        assert columns(page("report").table("Warnings", "kind", "remedy"), 0, 1) == [
            (kind.value, remedy_for(kind, field)) for kind in WarningKind
        ]


def _counted_as(reason: Reason) -> str:
    if reason is Reason.NO_ANSWER:
        return "unconfirmed"
    return "suppressed" if reason in SUPPRESSING else "rejected"


class TestDelivery:
    """docs/delivery.md."""

    @pytest.mark.parametrize(
        "row",
        columns(page("delivery").table("What is sent again", "number", "value", "in"), 2, 1),
        ids=" ".join,
    )
    def test_numbers(self, row: tuple[str, str]) -> None:
        """Every number is the code's."""
        path, value = row
        assert repr(_found(path)) == value

    def test_verdicts(self) -> None:
        """The table has every verdict, mildest first."""
        shown = first(page("delivery").table("Verdicts", "verdict", "when", "the task"))
        assert [name for name in shown if name in {*Verdict}] == [verdict.value for verdict in Verdict]


def _found(path: str) -> object:
    module, _, name = path.rpartition(".")
    if module.endswith(".Pace"):
        pace = import_module("airflow_mailchimp_export.mailchimp.pace").Pace()
        return getattr(pace, name)
    return getattr(import_module(f"airflow_mailchimp_export.{module}"), name)


class TestArchitecture:
    """docs/architecture.md."""

    def test_files(self) -> None:
        """The table has every file of the package, in order; the sandbox is one."""
        package = REPOSITORY / "airflow_mailchimp_export"
        names = {
            str(path.relative_to(package))
            for path in (*package.rglob("*.py"), *package.rglob("*.sql"))
            if path.name != "__init__.py"
        }
        wanted = {name for name in names if not name.startswith("sandbox/")} | {"sandbox/"}
        shown = first(page("architecture").table("The files", "file", "what it does"))
        assert [name for name in shown if name == "sandbox/" or name.endswith((".py", ".sql"))] == sorted(
            wanted
        )

    def test_exceptions(self) -> None:
        """The exceptions exist."""
        errors = import_module("airflow_mailchimp_export.errors")
        for name in first(
            page("architecture").table("The flow", "exception", "what to do", "Airflow retries")
        ):
            assert issubclass(getattr(errors, name), errors.ExportError)


def test_modules() -> None:
    """The README names modules and classes that there are."""
    for name in first(Page("README.md").table("What is in it", "module", "for")):
        module, _, attribute = name.rpartition(".")
        if attribute.istitle() or attribute[0].isupper():
            assert hasattr(import_module(module), attribute)
