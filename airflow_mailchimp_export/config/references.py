"""What entries of a configuration need of one another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from airflow_mailchimp_export.config.entries import Export, Refresh, Segment
from airflow_mailchimp_export.config.insights import problems_of_insights
from airflow_mailchimp_export.config.mistakes import Problem
from airflow_mailchimp_export.config.values import WITH_REFRESH
from airflow_mailchimp_export.settings.names import did_you_mean
from airflow_mailchimp_export.tag_names import tag_key


def problems_of_references(
    exports: Mapping[str, Export],
    segments: Mapping[str, Segment],
    refresh: Refresh | None,
    *,
    broken: Collection[str] = (),
) -> Iterator[tuple[str, Problem]]:
    """Yield what is wrong with exports because of what else there is, each with the name of the export.

    :param refresh: what builds the segments; ``None`` where that is not known because of mistakes.
    :param broken: the keys of segments that are there, but have mistakes of their own.
    """
    taken = {one.lower() for one in (refresh.name, refresh.export_all_name)} if refresh else set()
    for name, export in exports.items():
        if name.lower() in taken:
            yield name, Problem((), "has the name of a DAG of the refresh: rename one of them")
        for problem in unknown_segments(export.segments, segments, broken):
            yield name, problem
        for problem in (*_equal_tags(export, segments), *_retired_and_given(export, segments)):
            yield name, problem
        for problem in problems_of_insights(
            export.segments,
            segments,
            starts_with_refresh=export.schedule == WITH_REFRESH,
            waits=export.refreshed_within is not None,
        ):
            yield name, problem
    yield from _shared_tags(exports, segments)
    yield from _equal_names(exports)


def equal_but_for_case(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that is an earlier one in other case: on some disks, both would be one file."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(name.lower(), name)) != name:
            yield name, other


def unknown_segments(
    keys: Sequence[str], segments: Mapping[str, Segment], broken: Collection[str]
) -> Iterator[Problem]:
    """Yield which of the segments that an export names cannot be used."""
    for number, key in enumerate(keys):
        if key in broken:
            yield Problem(
                ("segments", number), f"uses the segment {key!r}, which has mistakes: correct them first"
            )
        elif key not in segments:
            known = [*segments, *broken]
            hint = did_you_mean(key, known)
            there = f"there are {', '.join(known)}" if known else "there are none"
            yield Problem(("segments", number), f"{key!r} is no segment{hint}: name one by its key; {there}")


def _equal_tags(export: Export, segments: Mapping[str, Segment]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for number, key in enumerate(export.segments):
        if key in segments and (other := first.setdefault(tag_key(segments[key].name), key)) != key:
            yield Problem(
                ("segments", number),
                f"{other!r} and {key!r} have names that are one tag to Mailchimp, which does not tell upper from "
                "lower case: export one of them, or rename one",
            )


def _retired_and_given(export: Export, segments: Mapping[str, Segment]) -> Iterator[Problem]:
    given = {tag_key(segments[key].name): key for key in export.segments if key in segments}
    for number, name in enumerate(export.retire):
        if key := given.get(tag_key(name)):
            yield Problem(
                ("retire", number),
                f"{name!r} is the tag of {key!r}, which the export gives: take {key!r} out of segments to retire it, "
                "or the name out of here",
            )
        elif name in segments and tag_key(segments[name].name) != tag_key(name):
            yield Problem(
                ("retire", number),
                f"{name!r} is the key of a segment: give its name, {segments[name].name!r}, which is the tag",
            )


def _shared_tags(
    exports: Mapping[str, Export], segments: Mapping[str, Segment]
) -> Iterator[tuple[str, Problem]]:
    """A tag of an audience has one export that gives and takes it."""
    owners: dict[tuple[str, str], str] = {}
    for name, export in exports.items():
        if not export.enabled:
            continue
        audience = export.audience_id or f"the audience of connection {export.connection}"
        for number, key in enumerate(export.segments):
            if key not in segments:
                continue
            owner = owners.setdefault((audience, tag_key(segments[key].name)), name)
            if owner != name:
                yield (
                    name,
                    Problem(
                        ("segments", number),
                        f"the export {owner!r} gives the tag of {key!r} to the same audience already, and each would "
                        "take it from the other's people: leave it out of one of them",
                    ),
                )


def _equal_names(exports: Mapping[str, Export]) -> Iterator[tuple[str, Problem]]:
    for name, other in equal_but_for_case(exports):
        yield name, Problem((), f"differs from the export {other!r} by case alone: rename one of them")
