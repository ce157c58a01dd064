"""Whose consent a run relies on, as its log and the Test button say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.people import row, write_segments
from tests.airflow.runs import context_of, one_task

if TYPE_CHECKING:
    from scripts.sandbox_service import Sandbox

CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
ANN = {"consent_by": "ann@example.org", "consent_at": "2026-11-26T12:00:07+00:00"}
NOT_KNOWN = "Connection 'mailchimp_default': Consent is given, by whom and when is not known"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            ANN,
            [
                "Connection 'mailchimp_default': Consent was given by ann@example.org at 2026-11-26T12:00:07+00:00"
            ],
        ),
        ({}, [NOT_KNOWN]),
        (
            {**ANN, "consent_at": "some day"},
            [
                NOT_KNOWN,
                "Connection 'mailchimp_default': consent_at must be a moment with its zone in ISO 8601, such as "
                "2026-01-02T06:00:00+00:00; given was text of 8 characters, so it is no evidence of who agreed, or "
                "withdrew that",
            ],
        ),
    ],
    ids=["known", "unknown", "malformed"],
)
def test_a_run_logs_whose_consent_it_relies_on(
    extra: dict[str, Any],
    said: list[str],
    mailchimp: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In clear, once; where it is not known the run says that, and sends all the same."""
    monkeypatch.setenv(CONNECTION, json.dumps(mailchimp.connection(**extra)))
    pair = {"Pair": [row("one@brieftaube-post.eu", "One"), row("two@brieftaube-post.eu", "Two")]}
    export = one_task(segments=write_segments(tmp_path, pair), delivery="direct").task_dict["export"]
    with caplog.at_level("INFO"):
        told = export.execute(context_of(export))
    assert told["counts"]["created"] == 2
    assert [record.getMessage() for record in caplog.records if "onsent" in record.getMessage()] == said


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (ANN, "Consent was given by ann@example.org at 2026-11-26T12:00:07+00:00."),
        ({}, "Consent is given, by whom and when is not known."),
    ],
)
def test_the_test_button_says_whose_consent_it_is(
    extra: dict[str, Any], said: str, sandbox: Sandbox, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is not known, which is no obstacle."""
    from airflow_mailchimp_export.hooks import MailchimpHook

    monkeypatch.setenv(CONNECTION, json.dumps(sandbox.connection(**extra)))
    passed, message = MailchimpHook().test_connection()
    assert passed
    assert said in message.splitlines()
