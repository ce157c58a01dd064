"""The tables of rules.py: every case has its row, and each row says what an export has to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mailchimp_export.database import Database
from airflow_mailchimp_export.model import Effect, LedgerState, MemberStatus, Reason
from airflow_mailchimp_export.rules import (
    BILLED,
    EFFECT_RULES,
    HELD_BACK,
    REASON_RULES,
    STATUS_RULES,
    Lasting,
    as_tables,
)

SUBSCRIBED, PENDING, TRANSACTIONAL = (
    MemberStatus.SUBSCRIBED,
    MemberStatus.PENDING,
    MemberStatus.TRANSACTIONAL,
)
UNSUBSCRIBED, CLEANED, ARCHIVED = (
    MemberStatus.UNSUBSCRIBED,
    MemberStatus.CLEANED,
    MemberStatus.ARCHIVED,
)


class TestStatuses:
    """What the status of a member means."""

    def test_who_is_sent(self) -> None:
        """Subscribed members always are, transactional ones only among transactional ones, and nobody else ever is."""
        assert {status: set(rule.sent_under) for status, rule in STATUS_RULES.items()} == {
            SUBSCRIBED: {SUBSCRIBED, PENDING, TRANSACTIONAL},
            TRANSACTIONAL: {TRANSACTIONAL},
            **{status: set() for status in (UNSUBSCRIBED, CLEANED, PENDING, ARCHIVED)},
        }

    def test_who_is_looked_up(self) -> None:
        """Everybody who is not subscribed is looked up before anything is sent."""
        assert set(HELD_BACK) == set(MemberStatus) - {SUBSCRIBED}

    def test_who_is_looked_up_while_a_run_sends(self) -> None:
        """Who unsubscribes or bounces meanwhile must not be sent."""

    def test_who_is_billed(self) -> None:
        """Mailchimp bills for the unsubscribed too, and for neither cleaned, pending nor archived people."""
        assert set(BILLED) == {SUBSCRIBED, UNSUBSCRIBED, TRANSACTIONAL}

    def test_a_new_address(self) -> None:
        """A new address is no new consent, but for those whom mail did not reach under the old one."""
        held = {status for status, rule in STATUS_RULES.items() if rule.carries_over}
        assert held == set(HELD_BACK) - {CLEANED}


class TestReasons:
    """What a reason means."""

    def test_each_has_its_rule(self) -> None:
        """No reason is left out, and the order is that of the reasons."""
        assert list(REASON_RULES) == list(Reason)

    def test_how_it_is_counted(self) -> None:
        """Statuses, compliance and being forgotten suppress, no answer leaves open, and all else rejects."""
        suppressing = {*(Reason(status) for status in HELD_BACK), Reason.COMPLIANCE, Reason.FORGOTTEN}
        assert {reason: rule.effect for reason, rule in REASON_RULES.items()} == {
            **dict.fromkeys(Reason, Effect.REJECTED),
            **dict.fromkeys(suppressing, Effect.SUPPRESSED),
            Reason.NO_ANSWER: Effect.UNCONFIRMED,
        }

    def test_how_long_it_lasts(self) -> None:
        """A refusal lasts until the profile changes, unless it passes or the status decides again in each run."""
        assert {reason: rule.lasting for reason, rule in REASON_RULES.items()} == {
            **dict.fromkeys(Reason, Lasting.UNTIL_PROFILE_CHANGES),
            **dict.fromkeys((Reason.REQUIRED_FIELD, Reason.INVALID_FIELD), Lasting.UNTIL_FIELDS_CHANGE),
            **dict.fromkeys((Reason.TOO_MANY_SIGNUPS, Reason.NO_ANSWER), Lasting.ONE_RUN),
            **dict.fromkeys(map(Reason, HELD_BACK), Lasting.WHILE_STATUS),
            Reason.UNSUBSCRIBED: Lasting.UNTIL_SUBSCRIBED,
        }

    def test_a_new_address(self) -> None:
        """Who opted out or was deleted for good stays out under another address too."""
        held = {reason for reason, rule in REASON_RULES.items() if rule.carries_over}
        assert held == {Reason.UNSUBSCRIBED, Reason.COMPLIANCE, Reason.FORGOTTEN}

    @pytest.mark.parametrize("reason", Reason)
    def test_remedies(self, reason: Reason) -> None:
        """Every remedy is a sentence."""
        remedy = REASON_RULES[reason].remedy
        assert remedy[0].isupper()
        assert remedy.endswith(".")


class TestEffects:
    """What an effect means for the ledger."""

    def test_each_has_its_rule(self) -> None:
        """No effect is left out."""
        assert set(EFFECT_RULES) == set(Effect)

    def test_the_state_that_follows(self) -> None:
        """Who was created or updated is a member; who was refused, or got no answer, is remembered as that."""
        assert {effect: rule.state for effect, rule in EFFECT_RULES.items() if rule.state} == {
            Effect.CREATED: LedgerState.MEMBER,
            Effect.UPDATED: LedgerState.MEMBER,
            Effect.REJECTED: LedgerState.REJECTED,
            Effect.SUPPRESSED: LedgerState.SUPPRESSED,
            Effect.UNCONFIRMED: LedgerState.UNCONFIRMED,
        }

    def test_the_worse_answer_counts(self) -> None:
        """From good to bad: created, updated, then whatever was refused; what failed is worse than what did not."""
        order = list(EFFECT_RULES)
        assert order[:2] == [Effect.CREATED, Effect.UPDATED]
        assert order.index(Effect.REJECTED) < order.index(Effect.SUPPRESSED)
        assert order.index(Effect.REMOVED) < order.index(Effect.REMOVAL_FAILED)


def test_sql_knows_the_rules(tmp_path: Path) -> None:
    """Each database of a run has every row of every table, in order."""
    statements = tmp_path / "statements.sql"
    statements.write_text("-- name: rules\nSELECT * EXCLUDE (rank) FROM {table} ORDER BY rank;")
    with Database(tmp_path, str(statements)) as database:
        held = {table: next(database.filled_in("rules", table=table)).to_pylist() for table in as_tables()}
    assert held["status_rules"][0] == {
        "status": "subscribed",
        "sent_under": ["subscribed", "pending", "transactional"],
        "billed": True,
        "carries_over": False,
    }
    assert [row["reason"] for row in held["reason_rules"]] == [reason.value for reason in Reason]
    assert {row["effect"]: row["state"] for row in held["effect_rules"]} == {
        effect.value: rule.state for effect, rule in EFFECT_RULES.items()
    }
