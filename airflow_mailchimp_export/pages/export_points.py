"""How each export that uses a connection fits it: may it use it, is its audience there, and does its field map suit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from airflow_mailchimp_export.connection_check import opt_in_point
from airflow_mailchimp_export.errors import ConfigError, NotFound
from airflow_mailchimp_export.fields.field_map import FieldMap, parse_field_map
from airflow_mailchimp_export.findings import Mark, Point, Topic
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Audience, MemberStatus
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.pages.using_exports import UNKNOWN, UsingExport
from airflow_mailchimp_export.planning.audience import read_audience
from airflow_mailchimp_export.settings.coercion import InvalidValue, is_blank
from airflow_mailchimp_export.settings.connection import ConnectionSettings, audience_id, labelled

COMPARE = "Compare its field map with the merge fields of the audience yourself"
RUN_FIRST = "Run the export once, or rehearse it: what its templates become is known then"


def allowed_points(settings: ConnectionSettings, exports: Iterable[UsingExport]) -> Iterator[Point]:
    """Say which DAGs may use the connection, and of each export whether its own may, and is known to do so."""
    label = labelled("allowed_dags")
    named = f"DAGs that match {', '.join(settings.allowed_dags)}" if settings.allowed_dags else "All DAGs"
    yield Point(Topic.ALLOWED_DAGS, Mark.OK, f"{named} may use the connection")
    for export in exports:
        tell = partial(Point, Topic.ALLOWED_DAGS, dag_id=export.dag_id)
        if export.values and export.values["mailchimp_conn_id"] == UNKNOWN:
            yield tell(
                Mark.UNKNOWN, f"{export.label}: whether it uses this connection is not known", RUN_FIRST
            )
        elif settings.allows(export.dag_id):
            yield tell(Mark.OK, f"{export.label}: DAG {export.dag_id} may use the connection")
        else:
            yield tell(
                Mark.STOP,
                f"{export.label}: DAG {export.dag_id} is not among {label}",
                "Add it there, or let the export use another connection",
            )


def audience_points(
    client: Sender, settings: ConnectionSettings, exports: Iterable[UsingExport]
) -> Iterator[Point]:
    """Compare the field map of each export with the merge fields of its audience.

    :raises ExportError: when Mailchimp is out of reach.
    """
    audience_of = cache(partial(_audience, client))
    for export in exports:
        if export.values is None:
            words = (
                f"{export.label}: its field map is not known, as none of its DAG's tasks is one that exports"
            )
            yield Point(
                Topic.MERGE_FIELDS,
                Mark.UNKNOWN,
                words,
                "Compare it with the audience yourself",
                export.dag_id,
            )
        elif export.values["mailchimp_conn_id"] != UNKNOWN:
            yield from _points_of(export, export.values, settings, audience_of)


def _audience(client: Sender, audience_id: str) -> Audience | None:
    try:
        return read_audience(client, audience_id)
    except NotFound:
        return None


def _points_of(
    export: UsingExport,
    values: Mapping[str, Any],
    settings: ConnectionSettings,
    audience_of: Callable[[str], Audience | None],
) -> Iterator[Point]:
    audience = _its_audience(export, values["audience_id"], settings, audience_of)
    if isinstance(audience, Point):
        yield audience
        return
    options, field_map = _options(export, values["options"]), _field_map(export, values["field_map"])
    yield from (unclear for unclear in (options, field_map) if isinstance(unclear, Point))
    if isinstance(options, ExportOptions):
        yield from _opt_in(export, audience, options)
        if isinstance(field_map, FieldMap):
            yield from _merge_fields(export, audience, field_map, options)


def _its_audience(
    export: UsingExport,
    own: object,
    settings: ConnectionSettings,
    audience_of: Callable[[str], Audience | None],
) -> Audience | Point:
    """Return the audience of an export, or what is wrong with it."""
    tell = partial(Point, Topic.AUDIENCE, dag_id=export.dag_id)
    wanted = settings.audience_id if is_blank(own) else _id(own)
    if wanted == UNKNOWN:
        return tell(Mark.UNKNOWN, f"{export.label}: its audience is not known", RUN_FIRST)
    if not wanted:
        words = f"{export.label} names no audience, and neither does the connection"
        return tell(Mark.STOP, words, "Choose a default audience here, or name one in the export")
    return audience_of(wanted) or tell(
        Mark.STOP,
        f"{export.label}: the account has no audience {wanted}",
        "Correct the audience of the export, or that of the connection",
    )


def _id(own: object) -> str:
    try:
        return audience_id(own)
    except InvalidValue:
        return UNKNOWN


def _options(export: UsingExport, given: Any) -> ExportOptions | Point:
    """Return the options that matter, or why they are not known."""
    if given == UNKNOWN:
        return _unclear(export, "its options are not known, so neither is what suits the audience")
    try:
        return ExportOptions.from_value(given)
    except ConfigError:
        words = "its options are none that can be read here, such as an object in place of a mapping"
        return _unclear(export, words, COMPARE)


def _field_map(export: UsingExport, given: Any) -> FieldMap | Point:
    if given == UNKNOWN:
        return _unclear(export, "its field map is not known")
    try:
        return parse_field_map(given)
    except ConfigError as error:
        return _unclear(export, f"its field map cannot be read here: {error.happened.rstrip('.')}", COMPARE)


def _unclear(export: UsingExport, words: str, remedy: str = RUN_FIRST) -> Point:
    return Point(Topic.MERGE_FIELDS, Mark.UNKNOWN, f"{export.label}: {words}", remedy, export.dag_id)


def _opt_in(export: UsingExport, audience: Audience, options: ExportOptions) -> Iterator[Point]:
    if audience.double_optin and options.new_member_status is MemberStatus.SUBSCRIBED:
        point = opt_in_point(audience)
        words = f"{export.label} adds people as subscribed, though {point.says.partition(',')[0]}"
        yield Point(Topic.OPT_IN, point.mark, words, point.remedy, export.dag_id)


def _merge_fields(
    export: UsingExport, audience: Audience, field_map: FieldMap, options: ExportOptions
) -> Iterator[Point]:
    problems = field_map.audience_problems(
        audience,
        skip_merge_validation=options.skip_merge_validation,
        create_merge_fields=options.create_merge_fields,
    )
    tell = partial(Point, Topic.MERGE_FIELDS, dag_id=export.dag_id)
    for problem in problems:
        what, _, remedy = problem.partition(": ")
        yield tell(
            Mark.STOP, f"{export.label}, audience {audience.name}: {what}", remedy[:1].upper() + remedy[1:]
        )
    if not problems:
        mapped = len(field_map.targets)
        yield tell(
            Mark.OK,
            f"{export.label}: all {mapped} merge fields of its field map suit audience {audience.name}"
            if mapped
            else f"{export.label} fills no merge field, and audience {audience.name} asks for none",
        )
