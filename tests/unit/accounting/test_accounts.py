"""What Mailchimp answered, brought together with the plan: answers.py, accounts.py and report.sql."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.accounting.accounts import REJECT_COLUMNS, Reconciliation
from airflow_mailchimp_export.accounting.report import Aggregates
from airflow_mailchimp_export.model import Effect, Member, Outcome, Reason, Reject
from airflow_mailchimp_export.rules import REASON_RULES
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.answer_files import Answer
from airflow_mailchimp_export.state.plan_file import Membership, SetAside
from airflow_mailchimp_export.state.run import OUTCOMES, REJECTS, RunFolder
from tests.kit.exports import MANIFEST, run_folder
from tests.kit.people import hash_of, member
from tests.kit.plans import planned_rows

MEMBERSHIPS = (Membership(("A",), ("a",)), Membership(("A", "B"), ("a", "b")))

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of the run."""
    return run_folder(tmp_path)


def plan(
    folder: RunFolder,
    *emails: str,
    rejects: Mapping[str, Reject] | None = None,
    aside: Sequence[tuple[str, str, str]] = (),
    status: str = "subscribed",
    source: str = "row",
) -> None:
    """Plan people: each second one is in both segments; ``aside`` are effect, reason and address."""
    members: list[Member | Reject] = [(rejects or {}).get(email) or member(email) for email in emails]
    effects, reasons, addresses = ([row[index] for row in aside] for index in range(3))
    folder.begin(MANIFEST)
    with folder.writing_plan() as writer:
        writer.set_aside(
            SetAside(
                effects,
                reasons,
                fields=["EMAIL" if effect == "rejected" else "" for effect in effects],
                hashes=list(map(hash_of, addresses)),
                emails=addresses,
                segments=[["A"]] * len(aside),
                fingerprints=[None] * len(aside),
                profile_ids=[None] * len(aside),
                sources=["aside"] * len(aside),
            )
        )
        sources = [f"{source} {index + 1}" for index in range(len(emails))]
        rows = planned_rows(emails, members, status=[status] * len(emails), source=sources)
        writer.write(*rows, MEMBERSHIPS)


def answer(folder: RunFolder, *outcomes: Outcome, key: str = "chunk-0000000") -> None:
    """Keep answers."""
    assert folder.keep(key, [(None, outcomes)]) == len(outcomes)
    folder.answer_log.flush()


def kept(folder: RunFolder) -> list[tuple[object, ...]]:
    """All answers, in the order of their addresses."""
    rows = folder.answer_log.reading().read_all().to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def again(folder: RunFolder) -> RunFolder:
    """The folder as another process finds it."""
    return RunFolder(Path(folder.uri))


def created(email: str, status: str = "subscribed") -> Outcome:
    """A person who joined."""
    return Outcome(email, Effect.CREATED, status)


def aggregates(folder: RunFolder) -> Aggregates:
    """What the accounts say."""
    with Reconciliation(folder, None) as accounts:
        return accounts.aggregates()


def outcomes(folder: RunFolder) -> dict[str, tuple[str, str | None]]:
    """Effect and reason by address, as ``outcomes.parquet`` has them."""
    with Reconciliation(folder, None) as accounts:
        accounts.write_outcomes()
    with folder.reading(OUTCOMES) as path:
        rows = pq.read_table(path).to_pylist()
    return {row["email"]: (row["effect"], row["reason"]) for row in rows}


def rejects(folder: RunFolder) -> list[dict[str, str]]:
    """The rows of ``rejects.csv``, as a spreadsheet reads them."""
    with Reconciliation(folder, None) as accounts:
        accounts.write_rejects()
    text = folder.read(REJECTS).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


class TestAnswers:
    """Answers on disk."""

    def test_they_are_kept_as_they_come(self, folder: RunFolder) -> None:
        """Every part of an outcome is kept, and the key of its chunk or batch."""
        refused = Outcome("b@mail.eu", Effect.REJECTED, "", Reason.INVALID_FIELD, "AGE", "No.")
        stream = iter([(None, [created("a@mail.eu")]), (None, []), (7, [refused])])
        assert folder.keep(answers.chunk_key(3), stream) == 2
        assert folder.keep(answers.batch_key("b1"), []) == 0
        assert kept(folder) == [
            ("a@mail.eu", "created", "subscribed", None, "", "", None),
            ("b@mail.eu", "rejected", "", "invalid_field", "AGE", "No.", 7),
        ]
        assert folder.answer_log.answered() == {"chunk-0000003", "batch-b1"}
        assert again(folder).answer_log.answered() == {"chunk-0000003", "batch-b1"}

    def test_nothing_is_kept_of_a_stream_that_breaks(self, folder: RunFolder) -> None:
        """Half the answers of a batch are none, and what was kept before stays."""
        answer(folder, created("a@mail.eu"), key="batch-b1")

        def breaking() -> Iterator[Answer]:
            yield None, [created("b@mail.eu")]
            raise EOFError

        with pytest.raises(EOFError):
            folder.keep("batch-b2", breaking())
        assert folder.answer_log.answered() == {"batch-b1"}
        assert [email for email, *_ in kept(folder)] == ["a@mail.eu"]


class TestOutcomes:
    """What became of each profile."""

    def test_each_profile_has_one(self, folder: RunFolder) -> None:
        """Sent or not, answered or not: each profile is under exactly one effect."""
        plan(
            folder,
            *("new@mail.eu", "old@mail.eu", "refused@mail.eu", "silent@mail.eu", "wrong@mail.eu"),
            rejects={"wrong@mail.eu": Reject(Reason.REQUIRED_FIELD, "FNAME")},
            aside=[("rejected", "missing_address", ""), ("suppressed", "cleaned", "cleaned@mail.eu")],
        )
        answer(folder, created("new@mail.eu"), Outcome("old@mail.eu", Effect.UPDATED, "subscribed"))
        answer(folder, Outcome("refused@mail.eu", Effect.REJECTED, reason=Reason.FAKE_ADDRESS), key="batch-b")
        assert outcomes(folder) == {
            "": ("rejected", "missing_address"),
            "cleaned@mail.eu": ("suppressed", "cleaned"),
            "new@mail.eu": ("created", None),
            "old@mail.eu": ("updated", None),
            "refused@mail.eu": ("rejected", "fake_address"),
            "silent@mail.eu": ("unconfirmed", "no_answer"),
            "wrong@mail.eu": ("rejected", "required_field"),
        }

    def test_the_file_says_who_and_where(self, folder: RunFolder) -> None:
        """An outcome names all of the plan but the payload, what happened, and Mailchimp's words."""
        plan(folder, "a@mail.eu", "b@mail.eu")
        answer(
            folder,
            Outcome("b@mail.eu", Effect.REJECTED, "", Reason.INVALID_FIELD, "AGE", "Please enter a number"),
        )
        assert outcomes(folder)
        with folder.reading(OUTCOMES) as path:
            rows = {row["email"]: row for row in pq.read_table(path).to_pylist()}
        assert rows["b@mail.eu"] == {
            "chunk": 0,
            "change": "upsert",
            "subscriber_hash": hash_of("b@mail.eu"),
            "email": "b@mail.eu",
            "status": "subscribed",
            "profile_id": None,
            "fingerprint": 2,
            "tags": ["a", "b"],
            "segments": ["A", "B"],
            "source": "row 2",
            "leave": None,
            "new_email": None,
            "effect": "rejected",
            "reason": "invalid_field",
            "field": "AGE",
            "words": "Please enter a number",
        }
        assert (rows["a@mail.eu"]["field"], rows["a@mail.eu"]["words"]) == ("", "")

    def test_answers_are_matched_by_normal_form(self, folder: RunFolder) -> None:
        """An answer finds its person whatever case and padding Mailchimp gives the address back in."""
        plan(folder, "ada@mail.eu", "zoë@mail.eu")
        answer(folder, created(" Ada@Mail.EU\u200b"), created("ZOË@mail.eu"))
        assert aggregates(folder).effects == {"created": 2}

    def test_a_plan_of_release_0_1_0_keeps_its_answers(self, folder: RunFolder) -> None:
        """A planned address may hold invisible characters, which that release sent: the answer is found anyway."""
        plan(folder, "a\u00adda@mail.eu")
        answer(folder, created("a\u00adda@mail.eu"))
        assert aggregates(folder).effects == {"created": 1}

    @pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "pending", "archived", "transactional"])
    def test_another_status_than_sent_is_suppressed(self, folder: RunFolder, status: str) -> None:
        """Who comes back with another status than was sent counts as suppressed under that status."""
        plan(folder, "new@mail.eu", "old@mail.eu", "third@mail.eu")
        answer(folder, created("new@mail.eu", status), Outcome("old@mail.eu", Effect.UPDATED, status))
        found = aggregates(folder)
        assert found.effects == {"suppressed": 2, "unconfirmed": 1}
        assert found.suppressed_by_reason == {status: 2}

    @pytest.mark.parametrize("sent", ["pending", "transactional"])
    @pytest.mark.parametrize("back", ["", "subscribed", "the same"])
    def test_the_status_sent_or_better_is_no_suppression(
        self, folder: RunFolder, sent: str, back: str
    ) -> None:
        """What was sent as pending or transactional may come back so, as subscribed, or without a status."""
        plan(folder, "new@mail.eu", status=sent)
        answer(folder, created("new@mail.eu", sent if back == "the same" else back))
        assert aggregates(folder).effects == {"created": 1}

    def test_the_worse_of_two_answers_counts(self, folder: RunFolder) -> None:
        """Who is named twice is one person, counted by the worse answer, in whatever order they came."""
        plan(folder, "a@mail.eu", "b@mail.eu", "c@mail.eu")
        updated = Outcome("a@mail.eu", Effect.UPDATED, "subscribed")
        refused = Outcome("b@mail.eu", Effect.REJECTED, reason=Reason.REFUSED)
        answer(folder, created("a@mail.eu"), created("B@mail.eu"), created("c@mail.eu"), key="chunk-0")
        answer(folder, updated, refused, key="chunk-1")
        answer(folder, created("a@mail.eu"), created("b@mail.eu"), key="chunk-2")
        assert aggregates(folder).effects == {"updated": 1, "rejected": 1, "created": 1}

    def test_strangers_are_left_out(self, folder: RunFolder) -> None:
        """An answer about somebody who was not sent, or about nobody, changes nothing."""
        plan(
            folder,
            "a@mail.eu",
            aside=[("suppressed", "cleaned", "b@mail.eu"), ("rejected", "missing_address", "")],
        )
        answer(folder, created("stranger@mail.eu"), created("b@mail.eu"), created(""))
        assert aggregates(folder).effects == {"unconfirmed": 1, "suppressed": 1, "rejected": 1}

    def test_without_any_answer(self, folder: RunFolder) -> None:
        """A run that got no answer at all has everybody sent as unconfirmed."""
        plan(folder, "a@mail.eu", "b@mail.eu")
        assert aggregates(folder) == Aggregates({"unconfirmed": 2})

    def test_nobody(self, folder: RunFolder) -> None:
        """A plan without anybody has accounts without anybody."""
        plan(folder)
        assert aggregates(folder) == Aggregates()
        assert (outcomes(folder), rejects(folder)) == ({}, [])

    def test_findings_by_reason_and_segment(self, folder: RunFolder) -> None:
        """Reasons come with the most frequent first, segments with those of them who are in the audience."""
        plan(
            folder,
            *(f"p{number}@mail.eu" for number in range(6)),
            aside=[("rejected", "missing_address", "")] * 2 + [("suppressed", "cleaned", "x@mail.eu")],
        )
        answer(
            folder,
            created("p0@mail.eu"),
            created("p1@mail.eu"),
            Outcome("p2@mail.eu", Effect.UPDATED, "subscribed"),
            Outcome("p3@mail.eu", Effect.REJECTED, reason=Reason.FAKE_ADDRESS),
            Outcome("p4@mail.eu", Effect.SUPPRESSED, reason=Reason.COMPLIANCE),
        )
        found = aggregates(folder)
        assert list(found.rejects_by_reason.items()) == [("missing_address", 2), ("fake_address", 1)]
        assert found.suppressed_by_reason == {"cleaned": 1, "compliance": 1}
        assert found.members == found.joined == {"A": 3, "B": 1}

    effects = st.sampled_from([Effect.CREATED, Effect.UPDATED, Effect.REJECTED, Effect.SUPPRESSED])

    @settings(max_examples=25, deadline=None)
    @given(
        sent=st.integers(0, 6),
        aside=st.integers(0, 3),
        told=st.lists(
            st.tuples(st.integers(-1, 8), effects, st.sampled_from(["", "subscribed", "cleaned"])),
            max_size=12,
        ),
    )
    def test_every_profile_has_exactly_one(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        sent: int,
        aside: int,
        told: list[tuple[int, Effect, str]],
    ) -> None:
        """Whatever is answered, about whomever and however often, the effects are as many as the profiles."""
        folder = RunFolder(tmp_path_factory.mktemp("export") / "run")
        plan(
            folder,
            *(f"p{number}@mail.eu" for number in range(sent)),
            aside=[("suppressed", "archived", f"a{number}@mail.eu") for number in range(aside)],
        )
        reasons = {Effect.REJECTED: Reason.REFUSED, Effect.SUPPRESSED: Reason.FORGOTTEN}
        answer(
            folder,
            *(
                Outcome(f"P{number}@mail.eu", effect, status, reasons.get(effect))
                for number, effect, status in told
            ),
        )
        found = aggregates(folder)
        assert sum(found.effects.values()) == sent + aside
        assert sum(found.rejects_by_reason.values()) == found.effects.get("rejected", 0)
        assert sum(found.suppressed_by_reason.values()) == found.effects.get("suppressed", 0)


class TestRejects:
    """``rejects.csv``."""

    def test_each_reject_says_what_to_do(self, folder: RunFolder) -> None:
        """A reject has segments, place, address, field, reason, Mailchimp's words and the remedy."""
        plan(
            folder,
            "a@mail.eu",
            "b@mail.eu",
            "c@mail.eu",
            rejects={"c@mail.eu": Reject(Reason.REQUIRED_FIELD, "AGE")},
        )
        answer(
            folder,
            created("a@mail.eu"),
            Outcome("b@mail.eu", Effect.REJECTED, "", Reason.FAKE_ADDRESS, "", "Fake."),
        )
        assert sorted(rejects(folder), key=lambda row: row["email"]) == [
            dict(
                zip(
                    REJECT_COLUMNS,
                    (
                        "A; B",
                        "row 2",
                        "b@mail.eu",
                        "",
                        "fake_address",
                        "Fake.",
                        REASON_RULES[Reason.FAKE_ADDRESS].remedy,
                    ),
                    strict=True,
                )
            ),
            dict(
                zip(
                    REJECT_COLUMNS,
                    (
                        "A",
                        "row 3",
                        "c@mail.eu",
                        "AGE",
                        "required_field",
                        "",
                        REASON_RULES[Reason.REQUIRED_FIELD].remedy,
                    ),
                    strict=True,
                )
            ),
        ]

    @pytest.mark.parametrize("reason", Reason)
    def test_every_reason_has_its_remedy(self, folder: RunFolder, reason: Reason) -> None:
        """Whatever the reason, the row names it and the remedy for it."""
        plan(folder, "a@mail.eu")
        answer(folder, Outcome("a@mail.eu", Effect.REJECTED, reason=reason))
        (row,) = rejects(folder)
        assert (row["reason"], row["remedy"]) == (reason.value, REASON_RULES[reason].remedy)
        assert row["remedy"].endswith(".")

    def test_formulas_are_defused(self, folder: RunFolder) -> None:
        """What a spreadsheet would run, wherever it comes from, begins with an apostrophe in the file."""
        plan(folder, *(f"{number}@mail.eu" for number in range(len(FORMULAS))), source="=cmd")
        told = [
            Outcome(f"{number}@mail.eu", Effect.REJECTED, "", Reason.REFUSED, "+F", words)
            for number, words in enumerate(FORMULAS)
        ]
        answer(folder, *told)
        rows = rejects(folder)
        assert sorted(row["mailchimp_says"] for row in rows) == sorted(f"'{formula}" for formula in FORMULAS)
        assert {row["field"] for row in rows} == {"'+F"}
        assert all(row["source"].startswith("'=cmd") for row in rows)

    def test_addresses_that_are_formulas_are_defused(self, folder: RunFolder) -> None:
        """An address may be a formula as well."""
        plan(folder, aside=[("rejected", "invalid_address", formula) for formula in FORMULAS])
        assert sorted(row["email"] for row in rejects(folder)) == sorted(
            f"'{formula}" for formula in FORMULAS
        )

    @pytest.mark.parametrize(
        "words",
        ['say "no", twice', "one\ntwo", "one\r\ntwo", "a;b\tc", "名前 ë 🙂", "'quoted'", "  padded  "],
    )
    def test_text_survives_the_file(self, folder: RunFolder, words: str) -> None:
        """Quotes, commas, line ends and every script come out of the file as they went in."""
        plan(folder, "a@mail.eu")
        answer(folder, Outcome("a@mail.eu", Effect.REJECTED, reason=Reason.REFUSED, words=words))
        assert [row["mailchimp_says"] for row in rejects(folder)] == [words]

    def test_a_spreadsheet_knows_the_encoding(self, folder: RunFolder) -> None:
        """The file begins with the mark of UTF-8; without rejects it is only its header."""
        plan(folder, "a@mail.eu")
        assert rejects(folder) == []
        assert folder.read(REJECTS) == b"\xef\xbb\xbf" + ",".join(REJECT_COLUMNS).encode() + b"\r\n"


def test_accounts_of_a_folder_elsewhere() -> None:
    """Plan and answers may lie on any storage; the accounts go there too."""
    from upath import UPath

    folder = RunFolder(UPath("memory://accounts/export/run"))
    plan(folder, "a@mail.eu", "b@mail.eu")
    answer(folder, created("a@mail.eu"))
    answer(folder, Outcome("b@mail.eu", Effect.REJECTED, reason=Reason.REFUSED), key="batch-1")
    assert outcomes(folder) == {"a@mail.eu": ("created", None), "b@mail.eu": ("rejected", "refused")}
    assert len(rejects(folder)) == 1
