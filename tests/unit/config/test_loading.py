"""From exports.yaml to a configuration and all that is wrong with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.loading import Loaded, load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.options import ExportOptions

SHIPPED = Path(__file__).resolve().parents[3] / "dags" / "exports.yaml"

HEAD = """\
profiles: profiles.parquet
snapshots: snapshots
segments:
  vip: {name: VIP, where: loyalty_tier = 'platinum'}
  buyers: {name: Recent buyers, where: last_purchase >= DATE '2026-01-01'}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is still to be written."""
    return tmp_path / "exports.yaml"


def read(file: Path, exports: str, head: str = HEAD) -> Loaded:
    """Write a configuration with these exports, and read it."""
    file.write_text(head + dedent(exports), encoding="utf-8")
    return load(file)


def told(loaded: Loaded) -> list[str]:
    """Return the mistakes, without the folder and without the beginning of the file."""
    return [str(mistake).rpartition("/")[2] for mistake in loaded.mistakes]


def healthy(loaded: Loaded) -> Configuration:
    """Return the configuration of a file in which nothing concerns all of it."""
    assert loaded.configuration
    return loaded.configuration


class TestGoodFiles:
    """What is read of a file without mistakes."""

    def test_the_shipped_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is read without a mistake, and its paths are relative to it."""
        for name in ("CUSTOMER_PROFILES", "SEGMENT_SNAPSHOTS", "MAILCHIMP_AUDIENCE_ID"):
            monkeypatch.delenv(name, raising=False)
        loaded = load(SHIPPED)
        configuration = healthy(loaded)
        assert loaded.mistakes == ()
        assert configuration.snapshots == str(SHIPPED.parents[1] / "snapshots")
        assert configuration.profiles.uri == str(SHIPPED.parents[1] / "samples" / "profiles.parquet")
        export = configuration.exports["mailchimp_segment_export"]
        assert configuration.names_of(export) == {
            "vip": "VIP",
            "newsletter": "Newsletter",
            "recent_buyers": "Recent buyers",
        }
        assert export.field_map == {
            "EMAIL": "email",
            "FNAME": "first_name",
            "LNAME": "last_name",
            "PHONE": "phone",
            "BIRTHDAY": "birthday",
        }
        assert export.audience_id is None

    def test_every_key(self, file: Path) -> None:
        """Each key reaches its field; what is text in the file is a number or a switch where one is wanted."""
        loaded = read(
            file,
            """\
            exports:
              newsletter:
                display_name: Newsletter
                retire: [Winter sale]
                description: For the newsletter.
                enabled: no
                connection: mailchimp_de
                audience_id: 0123456712
                segments: [buyers, vip]
                email: mail
                first_name: {column: given, blank: clear}
                last_name: family
                fields: {zip: postcode, TIER: {column: tier, default: none}}
                profile_id: customer_id
                on_leave: archive
                delivery: direct
                options: {max_removal_ratio: 0.1, keep_runs: 5, create_merge_fields: yes}
                schedule: 0 6 * * 1-5
                pool: mailchimp
                connections: 5
                owner: marketing
                tags: [newsletter]
            """,
        )
        assert told(loaded) == []
        export = healthy(loaded).exports["newsletter"]
        assert (export.display_name, export.description, export.enabled) == (
            "Newsletter",
            "For the newsletter.",
            False,
        )
        assert (export.connection, export.audience_id) == ("mailchimp_de", "0123456712")
        assert list(healthy(loaded).names_of(export)) == ["buyers", "vip"]
        assert export.retire == ("Winter sale",)
        assert export.field_map == {
            "EMAIL": "mail",
            "FNAME": {"column": "given", "blank": "clear"},
            "LNAME": "family",
            "ZIP": "postcode",
            "TIER": {"column": "tier", "default": "none"},
        }
        assert (export.on_leave, export.delivery, export.schedule) == ("archive", "direct", "0 6 * * 1-5")
        assert (export.pool, export.connections, export.owner, export.tags) == (
            "mailchimp",
            5,
            "marketing",
            ("newsletter",),
        )
        assert ExportOptions.from_value(export.operator_options) == ExportOptions(
            max_removal_ratio=0.1, keep_runs=5, create_merge_fields=True, profile_id="customer_id"
        )

    def test_defaults_hold_for_what_an_export_does_not_say(self, file: Path) -> None:
        """A key of the defaults holds for each export without it; a blank one takes the default back."""
        loaded = read(
            file,
            """\
            defaults: {email: mail, owner: marketing, segments: [vip], audience_id: a1}
            exports:
              one:
              two: {email: other, owner: , audience_id: a2}
            """,
        )
        one, two = healthy(loaded).exports.values()
        assert (one.email, one.owner, one.audience_id) == ("mail", "marketing", "a1")
        assert (two.email, two.owner, two.audience_id) == ("other", None, "a2")

    def test_segments_in_a_file_of_their_own(self, file: Path) -> None:
        """`segments` may name a file; what is wrong there is told with its lines."""
        (file.parent / "segments.yaml").write_text("vip: {name: VIP, where: a}\nbad: {name: Bad}\n")
        head = "profiles: p\nsnapshots: s\nsegments: segments.yaml\n"
        loaded = read(file, "exports: {one: {email: mail, segments: [vip]}}", head)
        assert list(healthy(loaded).exports) == ["one"]
        assert told(loaded) == [
            "segments.yaml:2:1: segments.bad.where: is missing: add it (the condition that its profiles meet), or sql "
            "or uri"
        ]

    def test_keys_for_anchors(self, file: Path) -> None:
        """What begins with x- at the top is only there to be referred to."""
        loaded = read(file, "x-de: &de {email: mail}\nexports: {one: {<<: *de, segments: [vip]}}")
        assert loaded.mistakes == ()
        assert healthy(loaded).exports["one"].email == "mail"

    def test_no_exports(self, file: Path) -> None:
        """A file may have segments alone: the last export may be taken out."""
        assert healthy(read(file, "exports:\n")).exports == {}


BROKEN = """\
exports:
  good: {email: mail, segments: [vip]}
  broken:
    segments: [vip, bying, buyers, buyers]
    fist_name: name
    fields: {TOOLONGATAG: x, EMAIL: y, TIER: {colum: z}}
    options: {max_removal_ratio: 30, profile_id: id, max_profile: 3}
    delivery: pigeon
    schedule: every day
    connections: 11
    audience_id: not an id
    colour: blue
"""


class TestMistakes:
    """What is wrong, where, and what to do."""

    def test_all_are_told_at_once(self, file: Path) -> None:
        """Each has its line, its column, the path of its key, what is wrong, and the remedy."""
        keys = ", ".join(Export.model_fields)
        assert told(read(file, BROKEN)) == [
            "exports.yaml:8:3: exports.broken.email: is missing: add it (the column of the e-mail address, which "
            "decides which member a profile is)",
            "exports.yaml:9:21: exports.broken.segments[1]: 'bying' is no segment: name one by its key; "
            "there are vip, buyers",
            "exports.yaml:9:36: exports.broken.segments[3]: 'buyers' stands there twice: remove one",
            "exports.yaml:10:5: exports.broken.fist_name: is an unknown key (did you mean 'first_name'?): "
            "correct or remove it",
            "exports.yaml:11:14: exports.broken.fields.TOOLONGATAG: 'TOOLONGATAG' is no merge tag: 1 to 10 of the "
            "letters A-Z, digits and _",
            "exports.yaml:11:30: exports.broken.fields.EMAIL: is filled by the key email of the export: remove it here",
            "exports.yaml:11:40: exports.broken.fields.TIER: TIER has unknown keys: 'colum' (did you mean "
            "'column'?). Allowed are column, parts, blank, default",
            "exports.yaml:12:15: exports.broken.options.max_removal_ratio: must be a number from 0 to 1; given was "
            "text of 2 characters",
            "exports.yaml:12:38: exports.broken.options.profile_id: is no key here, but one of the export itself: "
            "move it there",
            "exports.yaml:12:54: exports.broken.options.max_profile: is an unknown key (did you mean "
            "'max_profiles'?): correct or remove it",
            "exports.yaml:13:5: exports.broken.delivery: must be 'batch' or 'direct'; given was text of 6 characters",
            "exports.yaml:14:5: exports.broken.schedule: must be 'with_refresh', 'by_hand', one of @hourly, @daily, "
            "@weekly, @monthly, @quarterly, @yearly, or a cron expression of five fields such as '0 6 * * 1-5' (UTC); "
            "given was text of 9 characters",
            "exports.yaml:15:5: exports.broken.connections: must be a whole number from 1 to 10; given was text of 2 "
            "characters",
            "exports.yaml:16:5: exports.broken.audience_id: must be an audience id such as a1b2c3d4e5 (in Mailchimp: "
            "Audience, Settings, Audience name and defaults); given was text of 9 characters",
            f"exports.yaml:17:5: exports.broken.colour: is an unknown key: remove it; there are {keys}",
        ]

    def test_a_broken_export_leaves_the_others(self, file: Path) -> None:
        """It is left out by name; every other export is as it was."""
        loaded = read(file, BROKEN)
        assert list(healthy(loaded).exports) == ["good"]
        assert loaded.broken == ("broken",)

    def test_one_error_of_all_mistakes(self, file: Path) -> None:
        """The error names the file, and has a line for each mistake."""
        error = read(file, BROKEN).error()
        assert isinstance(error, ConfigError)
        assert str(error).splitlines()[0] == f"{file} has 15 mistakes:"
        assert len(str(error).splitlines()) == 16

    @pytest.mark.parametrize(
        "value",
        ["mailchimp_conn_id: x", "interests: []", "refresh: {endpoint: x}", "interests:"],
    )
    def test_keys_that_mean_nothing_yet_are_refused(self, file: Path, value: str) -> None:
        """What is not done must not look as if it were, blank or not."""
        loaded = read(file, f"exports:\n  one:\n    email: mail\n    segments: [vip]\n    {value}\n")
        assert loaded.broken == ("one",)
        assert "unknown key" in told(loaded)[0]

    @pytest.mark.parametrize(
        ("rest", "mistake"),
        [
            (
                "exprots: {}",
                "exports.yaml:6:1: exprots: is an unknown key (did you mean 'exports'?): correct or remove it",
            ),
            (
                "exports: [one]",
                "exports.yaml:6:1: exports: must be a mapping; given was a value of type list",
            ),
            (
                "refresh: {schedule: with_refresh}",
                "exports.yaml:6:11: refresh.schedule: must be 'by_hand', one of @hourly, @daily, @weekly, @monthly, "
                "@quarterly, @yearly, or a cron expression of five fields such as '0 6 * * 1-5' (UTC); given was text "
                "of 12 characters",
            ),
            (
                "refresh: {endpoint: here}",
                "exports.yaml:6:11: refresh.endpoint: is an unknown key: remove it; there are name, schedule, "
                "publishes, warn_ratio, keep, keep_hours, at_once, http, export_all, alerts, owner, tags",
            ),
            (
                "refresh: daily",
                "exports.yaml:6:1: refresh: must be a mapping; given was text of 5 characters",
            ),
            ("a: &a\n b: *a\n", "exports.yaml:6:4: a.b: contains itself, by an alias: remove the alias"),
        ],
    )
    def test_mistakes_that_concern_all(self, file: Path, rest: str, mistake: str) -> None:
        """Where the file as a whole is in doubt, no export is built of it."""
        loaded = read(file, rest)
        assert mistake in told(loaded)
        assert loaded.configuration is None

    def test_the_form_of_release_0_1_0(self, file: Path) -> None:
        """What stood at the top when there was one export is told where it belongs now."""
        old = """\
            mailchimp_conn_id: mailchimp_default
            audience_id: a1
            field_map: {EMAIL: email}
            pool: a
            connections: 8
            """
        loaded = read(file, old)
        assert told(loaded) == [
            "exports.yaml:6:1: mailchimp_conn_id: is no key here, but the key connection of an export, or of defaults: "
            "move it there",
            "exports.yaml:7:1: audience_id: is no key here, but a key of an export, or of defaults: move it there",
            "exports.yaml:8:1: field_map: is no key here, but the keys email, first_name, last_name and fields of an "
            "export, or of defaults: move it there",
            "exports.yaml:9:1: pool: is no key here, but a key of an export, or of defaults: move it there",
            "exports.yaml:10:1: connections: is no key here, but a key of an export, or of defaults: move it there",
        ]
        assert loaded.configuration is None

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ("", "must be a mapping with keys such as exports; given was null"),
            ("[1]", "must be a mapping with keys such as exports; given was a value of type list"),
        ],
    )
    def test_a_file_of_something_else(self, file: Path, text: str, mistake: str) -> None:
        """A file without a mapping has nothing that could be meant."""
        assert told(read(file, text, head="")) == [f"exports.yaml:1:1: {mistake}"]

    def test_what_every_file_needs(self, file: Path) -> None:
        """Snapshots and segments are asked for, with what they are."""
        assert told(read(file, "exports: {}", head="")) == [
            "exports.yaml:1:1: snapshots: is missing: add it (the folder in which the refresh keeps the segments that "
            "it has built, on any storage)",
            "exports.yaml:1:1: segments: is missing: add it (the segments, by their keys)",
        ]

    def test_a_missing_variable_breaks_who_uses_it(self, file: Path) -> None:
        """One mistake is told of it, and not a second one because the key has no value."""
        loaded = read(
            file,
            """\
            defaults: {connection: "${NOT_SET_ANYWHERE}"}
            exports:
              one: {email: mail, segments: [vip]}
              two: {email: mail, segments: [buyers], connection: mailchimp_two}
              three: {email: "${NOT_SET_EITHER}", segments: [vip], connection: mailchimp_three}
            """,
        )
        assert [line.partition(": names")[0] for line in told(loaded)] == [
            "exports.yaml:6:24: defaults.connection",
            "exports.yaml:10:18: exports.three.email",
        ]
        assert list(healthy(loaded).exports) == ["two"]

    def test_a_mistake_in_the_defaults_is_told_once(self, file: Path) -> None:
        """It breaks each export that has the key from there, and no other."""
        loaded = read(
            file,
            """\
            defaults: {email: mail, delivery: pigeon}
            exports:
              one: {segments: [vip]}
              two: {segments: [buyers]}
              three: {segments: [vip], delivery: direct, audience_id: a3}
            """,
        )
        assert told(loaded) == [
            "exports.yaml:6:25: defaults.delivery: must be 'batch' or 'direct'; given was text of 6 characters"
        ]
        assert list(healthy(loaded).exports) == ["three"]

    def test_a_broken_segment_breaks_who_uses_it(self, file: Path) -> None:
        """Exports of other segments go on, and so do the other segments."""
        head = HEAD.replace("name: VIP, ", "")
        loaded = read(
            file,
            "exports:\n  one: {email: mail, segments: [vip]}\n  two: {email: mail, segments: [buyers]}\n",
            head,
        )
        assert told(loaded) == [
            "exports.yaml:4:3: segments.vip.name: is missing: add it (what people call it; it becomes the tag in "
            "Mailchimp)",
            "exports.yaml:7:33: exports.one.segments[0]: uses the segment 'vip', which has mistakes: correct "
            "them first",
        ]
        assert (list(healthy(loaded).segments), list(healthy(loaded).exports)) == (["buyers"], ["two"])

    @pytest.mark.parametrize(
        ("name", "mistake"),
        [
            ("' VIP'", None),
            (
                "'" + "x" * 101 + "'",
                "its name cannot be a tag in Mailchimp: it must be text of 1 to 100 characters, without control "
                "characters, and without blanks at its ends; given was text of 101 characters",
            ),
        ],
    )
    def test_names_of_segments_are_tags(self, file: Path, name: str, mistake: str | None) -> None:
        """Blanks around a name are nothing; a name that Mailchimp would not take is refused."""
        loaded = read(file, "exports: {}", HEAD.replace("name: VIP", f"name: {name}"))
        assert [line.partition("': ")[2] for line in told(loaded)] == ([mistake] if mistake else [])

    def test_two_segments_that_are_one_tag(self, file: Path) -> None:
        """An export of both would take the tag from each other's people."""
        loaded = read(
            file,
            "exports: {one: {email: mail, segments: [vip, buyers]}}",
            HEAD.replace("Recent buyers", "vip"),
        )
        assert told(loaded) == [
            "exports.yaml:6:46: exports.one.segments[1]: 'vip' and 'buyers' have names that are one tag to Mailchimp, "
            "which does not tell upper from lower case: export one of them, or rename one"
        ]

    @pytest.mark.parametrize(
        ("one", "two", "conflict"),
        [
            ("", "", True),
            ("audience_id: a1, connection: x", "audience_id: a1, connection: y", True),
            ("audience_id: a1", "audience_id: a2", False),
            ("connection: x", "connection: y", False),
            ("enabled: false", "", False),
        ],
    )
    def test_one_export_gives_a_tag_to_an_audience(
        self, file: Path, one: str, two: str, conflict: bool
    ) -> None:
        """Of two that would, the second is refused before it takes the tag from the first one's people."""
        loaded = read(
            file,
            f"exports:\n  one: {{email: m, segments: [vip], {one}}}\n  two: {{email: m, segments: [vip], {two}}}\n",
        )
        assert loaded.broken == (("two",) if conflict else ())
        assert [line.partition(", and each")[0] for line in told(loaded)] == (
            [
                "exports.yaml:8:30: exports.two.segments[0]: the export 'one' gives the tag of 'vip' to the same "
                "audience already"
            ]
            if conflict
            else []
        )

    def test_names_that_differ_by_case_alone(self, file: Path) -> None:
        """They would be one folder on some disks, so the second of them is refused."""
        loaded = read(
            file,
            "exports:\n  one: {email: m, segments: [vip]}\n  One: {email: m, segments: [buyers]}\n",
            HEAD + "  VIP: {name: Gold, where: a}\n",
        )
        assert told(loaded) == [
            "exports.yaml:6:3: segments.VIP: differs from 'vip' by case alone: rename one of them",
            "exports.yaml:9:3: exports.One: differs from the export 'one' by case alone: rename one of them",
        ]
        assert list(healthy(loaded).exports) == ["one"]

    def test_names_that_no_dag_can_have(self, file: Path) -> None:
        """A name becomes a dag_id, and must be none of another DAG."""
        loaded = read(
            file,
            "exports:\n  my export: {email: m, segments: [vip]}\n"
            "  customer_segments_refresh: {email: m, segments: [buyers]}\n",
        )
        assert told(loaded) == [
            "exports.yaml:7:3: exports.my export: must be 1 to 100 letters, digits, hyphens and underscores, without a "
            "hyphen at the beginning",
            "exports.yaml:8:3: exports.customer_segments_refresh: has the name of a DAG of the refresh: rename "
            "one of them",
        ]

    def test_a_merge_tag_that_is_filled_twice(self, file: Path) -> None:
        """first_name fills FNAME, so fields must not."""
        loaded = read(file, "exports: {one: {email: m, segments: [vip], first_name: a, fields: {fname: b}}}")
        assert told(loaded) == [
            "exports.yaml:6:59: exports.one.fields: FNAME stands there twice (case makes no difference): remove one"
        ]

    @pytest.mark.parametrize(
        "schedule", ["@once", "@continuous", "* * *", "61 * * * *", "0 6 * * * *", "daily"]
    )
    def test_schedules_that_are_refused(self, file: Path, schedule: str) -> None:
        """What would run once, always, or never is told."""
        loaded = read(file, f"exports: {{one: {{email: m, segments: [vip], schedule: '{schedule}'}}}}")
        assert loaded.broken == ("one",)

    def test_no_message_shows_a_value(self, file: Path) -> None:
        """A key that was put into the wrong field is not shown to whoever reads the log."""
        key = "0123456789abcdef0123456789abcdef-us21"
        values = {
            "connections": key,
            "delivery": key,
            "audience_id": f"{key} {key}",
            "enabled": key,
            "email": f"[{key}]",
        }
        entries = "".join(f"    {name}: {value}\n" for name, value in values.items())
        loaded = read(file, f"exports:\n  one:\n    segments: [vip]\n{entries}")
        assert len(loaded.mistakes) == len(values)
        assert key not in str(loaded.error())


def test_every_option_may_be_configured() -> None:
    """The options of an export are those of the operator, but for profile_id, which is a key of its own."""
    from airflow_mailchimp_export.config.values import OPTIONS_OF_ENTRIES

    assert {*OPTIONS_OF_ENTRIES, "profile_id"} == {option.name for option in fields(ExportOptions)}


class TestRetired:
    """Segments that were taken out of an export."""

    def test_they_are_named_by_their_tags(self, file: Path) -> None:
        """A name need not be one of a segment that is there still."""
        loaded = read(file, "exports: {news: {segments: [buyers], email: email, retire: [VIP, Old]}}")
        assert loaded.mistakes == ()
        assert healthy(loaded).exports["news"].retire == ("VIP", "Old")

    def test_what_cannot_be_retired_is_told(self, file: Path) -> None:
        """A segment that the export gives, and a key in the place of a name, are mistakes of that line."""
        loaded = read(file, "exports: {news: {segments: [vip], email: email, retire: [vip, buyers, VIP]}}")
        assert [line.partition(": ")[2] for line in told(loaded)] == [
            "exports.news.retire[0]: 'vip' is the tag of 'vip', which the export gives: take 'vip' out of segments to "
            "retire it, or the name out of here",
            "exports.news.retire[1]: 'buyers' is the key of a segment: give its name, 'Recent buyers', which is "
            "the tag",
            "exports.news.retire[2]: 'VIP' is the tag of 'vip', which the export gives: take 'vip' out of segments to "
            "retire it, or the name out of here",
        ]


class TestAlerts:
    """Whom to tell of what goes wrong."""

    SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"

    def test_they_are_read(self, file: Path) -> None:
        """Each has its events, its notifier and the notifier's parameters, and its own limits."""
        loaded = read(
            file,
            f"""\
            defaults: {{email: email}}
            exports:
              news:
                segments: [vip]
                alerts:
                  - {{on: [failed, late], notifier: {self.SMTP}, arguments: {{to: crm}}, late_after: 2}}
                  - {{on: partial, notifier: {self.SMTP}, partial_above: 0.01, rejects_above: 100}}
            """,
        )
        assert told(loaded) == []
        one, other = healthy(loaded).exports["news"].alerts
        assert (one.on, one.notifier, one.arguments, one.late_after) == (
            ("failed", "late"),
            self.SMTP,
            {"to": "crm"},
            2.0,
        )
        assert (other.on, other.partial_above, other.rejects_above) == (("partial",), 0.01, 100)

    def test_mistakes_in_them_have_their_lines(self, file: Path) -> None:
        """An unknown key, a path that is none and a lack are told where they are."""
        loaded = read(
            file,
            f"""\
            exports:
              news:
                email: email
                segments: [vip]
                alerts:
                  - {{on: late, notifier: {self.SMTP}}}
                  - {{on: failed, notifer: {self.SMTP}}}
                  - {{on: failed, notifier: smtp}}
            """,
        )
        assert [line.partition(": ")[0] + line.partition("exports.news")[2] for line in told(loaded)] == [
            "exports.yaml:11:9.alerts[0].late_after: is missing: say after how many hours a run is late",
            "exports.yaml:12:9.alerts[1].notifier: is missing: add it (the class of the Airflow notifier that sends "
            "it, by its dotted path)",
            "exports.yaml:12:22.alerts[1].notifer: is an unknown key (did you mean 'notifier'?): correct or remove it",
            "exports.yaml:13:22.alerts[2].notifier: must be the dotted path of a notifier's class, such as "
            f"{self.SMTP}; given was text of 4 characters",
        ]

    @pytest.mark.parametrize(
        ("notifier", "words"),
        [
            (f"{SMTP[:-2]}re", "has no 'SmtpNotifire' (did you mean 'SmtpNotifier'?): correct the path"),
            (
                "airflow.providers.slack.notifications.slack.SlackNotifier",
                "install apache-airflow-providers-slack where the DAGs run and where this is checked",
            ),
            (
                "nowhere.Notifier",
                "'nowhere' cannot be imported (ModuleNotFoundError): correct the path, or install",
            ),
            (
                "pathlib.Path",
                "pathlib.Path is no notifier: name a class that is derived from Airflow's BaseNotifier",
            ),
        ],
    )
    def test_a_check_imports_the_notifiers(self, file: Path, notifier: str, words: str) -> None:
        """Reading a file imports none of them; who checks it is told of each that is not there."""
        text = f"exports: {{news: {{email: e, segments: [vip], alerts: [{{on: failed, notifier: {notifier}}}]}}}}"
        assert told(read(file, text)) == []
        (mistake,) = load(file, imports=True).mistakes
        assert words in str(mistake)
        assert mistake.path == ("exports", "news", "alerts", 0, "notifier")

    def test_a_refresh_has_no_people_to_tell_of(self, file: Path) -> None:
        """Of a refresh it is told that it failed or is late; its notifiers are imported by a check, too."""
        refresh = "refresh: {{alerts: [{{on: [failed, {other}], late_after: 2, notifier: {notifier}}}]}}"
        wrong = told(read(file, refresh.format(other="partial", notifier=self.SMTP)))
        assert len(wrong) == 1
        assert wrong[0].endswith(
            "refresh.alerts[0].on: may be failed and late, which a refresh can be: leave out the others"
        )
        assert told(read(file, refresh.format(other="late", notifier="nowhere.Notifier"))) == []
        (mistake,) = load(file, imports=True).mistakes
        assert mistake.path == ("refresh", "alerts", 0, "notifier")
