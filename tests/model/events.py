"""What may happen to people, at the source and in Mailchimp."""

from __future__ import annotations

from hypothesis import strategies as st

from airflow_mailchimp_export.model import Delivery

SEGMENTS = ("A", "B", "C")
OTHER_SEGMENTS = ("D",)
PEOPLE = range(9)

Change = tuple[str, int, str]
"""What happens, to whom, and how."""

PERSON = st.sampled_from(PEOPLE)
SEGMENT = st.sampled_from([*SEGMENTS, *OTHER_SEGMENTS])
MEMBERSHIP = st.tuples(PERSON, SEGMENT)
DELIVERY = st.sampled_from(list(Delivery))

_DOMAINS = ("brieftaube.eu", "brieftaube.eu", "brieftaube.eu", "example.com")

AT_THE_SOURCE: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.just("join"), PERSON, SEGMENT),
    st.tuples(st.just("leave"), PERSON, SEGMENT),
    st.tuples(st.just("name"), PERSON, st.sampled_from(["Ada", "Bo", "Çelik", ""])),
    st.tuples(st.just("address"), PERSON, st.sampled_from(_DOMAINS)),
    st.tuples(st.just("move and leave"), PERSON, SEGMENT),
    st.tuples(st.just("twice"), PERSON, st.just("")),
    st.tuples(st.just("spelling"), PERSON, SEGMENT),
)
"""Also how a segment spells its tag; the person does not matter then."""

OPTING_OUT = st.sampled_from(["unsubscribed", "cleaned"])
"""What Mailchimp itself refuses to undo, so that it may happen at any moment."""

STATUS = st.sampled_from(["unsubscribed", "cleaned", "pending", "transactional", "archived", "forgotten"])

IN_MAILCHIMP: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.just("status"), PERSON, STATUS),
    st.tuples(st.just("sign up"), PERSON, st.just("")),
)

CHANGES = st.lists(st.one_of(AT_THE_SOURCE, AT_THE_SOURCE, IN_MAILCHIMP), max_size=6)

BY_OTHER_HANDS: st.SearchStrategy[list[tuple[int, str, int]]] = st.lists(
    st.tuples(PERSON, STATUS, st.sampled_from([0, 0, 3, 20])), min_size=1, max_size=4
)
"""Whom somebody gives which status in Mailchimp, and after how many hours that shows."""

AT_WHAT_IS_KEPT = st.sampled_from(["removed", "damaged", "brought back"])
"""What becomes of the statuses that an export keeps: they may also be those of an earlier day again."""

Moment = tuple[int, int, str]
"""Before which request of a run who gets which status."""

MEANWHILE: st.SearchStrategy[list[Moment]] = st.lists(
    st.tuples(st.integers(0, 30), PERSON, OPTING_OUT), max_size=2
)
