"""The tags that a run takes from everybody who has them by the export: those of retired segments, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.definition import ExportDefinition
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.planning.tags import TagWarning, warning_of
from airflow_mailchimp_export.settings.names import did_you_mean
from airflow_mailchimp_export.state.ledger import LedgerMark
from airflow_mailchimp_export.tag_names import tag_key

WITHDRAWN_WITHOUT_CONSENT = (
    "Taking tags away sends people's addresses to Mailchimp too. Switch consent on in the connection until they are "
    "withdrawn, or remove the tags in Mailchimp"
)
"""What to do where consent is off and the tags are to be taken away."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """What is taken from everybody.

    :param tags: as the ledger spells them.
    :param so_far: the tags that the export gave once and takes back, by this run or by one before it.
    """

    tags: tuple[str, ...] = ()
    so_far: tuple[str, ...] = ()
    warnings: tuple[FieldWarning, ...] = ()


def retirement_of(
    definition: ExportDefinition,
    mark: LedgerMark | None,
    known: Sequence[str],
    *,
    keys_of_others: Callable[[], Set[str]],
) -> Retirement:
    """Find what is taken from everybody; what nobody can have by this export is a warning.

    A tag that another export gives by now is left alone: it would be taken from that one's people.

    :param known: the tags that the ledger has of anybody.
    :param keys_of_others: returns the keys of the tags of other exports; called where that matters.
    """
    before = mark.retired if mark else ()
    given = {tag_key(segment.tag) for segment in definition.segments}
    if not (definition.retire or definition.withdraw):
        return Retirement(so_far=_besides(before, given))
    others = keys_of_others()
    asked = known if definition.withdraw else definition.retire
    keys = {tag_key(tag) for tag in asked}
    tags = tuple({tag_key(tag): tag for tag in known if tag_key(tag) in keys - others}.values())
    carried = {tag_key(tag) for tag in (known if mark is None or mark.tags is None else mark.tags)}
    return Retirement(
        tags,
        so_far=_besides((*before, *tags), given),
        warnings=(
            *_unknown(definition.retire, [*before, *known]),
            *(
                warning_of(TagWarning.OTHERS, tag, 1)
                for tag in known
                if tag_key(tag) in keys & others & carried
            ),
        ),
    )


def check_withdrawal(definition: ExportDefinition, mark: LedgerMark | None, place: str) -> None:
    """Let nobody believe that tags are taken where it is not known who has them.

    :param place: the folder of the export.
    :raises ConfigError: there is no ledger.
    """
    if definition.withdraw and mark is None:
        raise ConfigError(
            f"There is nothing to withdraw: export {definition.name!r} has no ledger in {place}, so it is not known to "
            "have put anybody into an audience",
            "Correct the export's name, or set exports_root to where its runs kept it",
            nothing_sent=True,
        )


def _besides(tags: Sequence[str], given: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted({tag_key(tag): tag for tag in tags if tag_key(tag) not in given}.values()))


def _unknown(retire: Sequence[str], known: Sequence[str]) -> Iterator[FieldWarning]:
    keys = {tag_key(tag) for tag in known}
    for tag in retire:
        if tag_key(tag) not in keys:
            yield warning_of(TagWarning.UNKNOWN, tag, 1, hint=did_you_mean(tag, known))
