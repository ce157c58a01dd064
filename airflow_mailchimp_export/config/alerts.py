"""Whom to tell of what goes wrong: the alerts of an export."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic import WithJsonSchema as Schema

from airflow_mailchimp_export.config.mistakes import Problem, Problems, problems_of
from airflow_mailchimp_export.config.versions import APPROVAL, DEADLINES, SEVERAL_DEADLINES, check_need
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    choice,
    is_blank,
    matching,
    number,
    string_list,
    whole_number,
)


class AlertEvent(StrEnum):
    """What an alert may tell of."""

    FAILED = "failed"
    PARTIAL = "partial"
    REJECTS = "rejects"
    LATE = "late"
    APPROVAL = "approval"


OF_ANY_RUN: Final = frozenset({AlertEvent.FAILED, AlertEvent.LATE})
"""What is told of a refresh, too."""


_DOTTED = matching(
    re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII),
    "the dotted path of a notifier's class, such as airflow.providers.smtp.notifications.smtp.SmtpNotifier",
)


def _events(value: object) -> tuple[AlertEvent, ...]:
    return tuple(map(choice(*AlertEvent), string_list(value)))


def _arguments(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidValue("a mapping of the notifier's parameters, like {to: crm@company.example}")
    return dict(value)


class Alert(BaseModel):
    """Whom to tell of what, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    on: Annotated[
        tuple[AlertEvent, ...],
        BeforeValidator(_events),
        Schema({"type": "array", "items": {"enum": [*AlertEvent]}, "minItems": 1}),
    ] = Field(min_length=1, description="what it tells of: failed, partial, rejects, late or approval")
    notifier: Annotated[str, BeforeValidator(_DOTTED)] = Field(
        description="the class of the Airflow notifier that sends it, by its dotted path"
    )
    arguments: Annotated[dict[str, Any], BeforeValidator(_arguments), Schema({"type": "object"})] = Field(
        default={}, description="the parameters of the notifier; templates in them are filled in"
    )
    partial_above: Annotated[float, BeforeValidator(number(0, 1))] = Field(
        default=0.0, ge=0, le=1, description="the part of the people, 0 to 1, of whom more have to be amiss"
    )
    rejects_above: Annotated[int, BeforeValidator(whole_number(0))] = Field(
        default=0, ge=0, description="how many new rejects there have to be more of"
    )
    late_after: Annotated[float, BeforeValidator(number(0.01, 720))] | None = Field(
        default=None, description="hours after which a run that is not over is late"
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_blanks(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {
            name: value
            for name, value in given.items()
            if name not in cls.model_fields or not is_blank(value)
        }

    @model_validator(mode="after")
    def _check_events(self) -> Self:
        is_late = AlertEvent.LATE in self.on
        if is_late and self.late_after is None:
            raise Problems([Problem(("late_after",), "is missing: say after how many hours a run is late")])
        if is_late:
            check_need(DEADLINES, at=("on",))
        if AlertEvent.APPROVAL in self.on:
            check_need(APPROVAL, at=("on",))
        return self


def parse_alerts(value: object) -> tuple[Alert, ...]:
    """Check alerts one by one.

    :raises Problems: what is wrong with which of them.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidValue("a list of alerts, each a mapping with on and notifier")
    alerts: list[Alert] = []
    problems: list[Problem] = []
    for index, given in enumerate(value):
        try:
            alerts.append(Alert.model_validate(given))
        except ValidationError as error:
            found = problems_of(error.errors(include_url=False), Alert)
            problems += [Problem((index, *problem.path), problem.message) for problem in found]
    if problems:
        raise Problems(problems)
    if len({alert.late_after for alert in alerts if AlertEvent.LATE in alert.on}) > 1:
        check_need(SEVERAL_DEADLINES)
    return tuple(alerts)


def schema_of_alerts() -> dict[str, Any]:
    """Describe them for editors."""
    return {"type": "array", "items": Alert.model_json_schema()}


DEFAULT_ARGUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "airflow.providers.smtp.notifications.smtp.SmtpNotifier": {
        "subject": "{{ mailchimp_alert.subject }}",
        "html_content": "{{ mailchimp_alert.html }}",
    },
    "airflow.providers.slack.notifications.slack.SlackNotifier": {"text": "{{ mailchimp_alert.text }}"},
    "airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier": {
        "text": "{{ mailchimp_alert.text }}"
    },
    "airflow.providers.discord.notifications.discord.DiscordNotifier": {"text": "{{ mailchimp_alert.text }}"},
    "airflow.providers.apprise.notifications.apprise.AppriseNotifier": {
        "title": "{{ mailchimp_alert.subject }}",
        "body": "{{ mailchimp_alert.text }}",
    },
    "airflow.providers.amazon.aws.notifications.sns.SnsNotifier": {
        "subject": "{{ mailchimp_alert.subject }}",
        "message": "{{ mailchimp_alert.text }}",
    },
    "airflow.providers.http.notifications.http.HttpNotifier": {
        "json": {
            key: f"{{{{ mailchimp_alert.{key} }}}}"
            for key in ("event", "export", "subject", "text", "run_url")
        }
    },
}
"""What the parameters of notifiers are that say nothing else."""
