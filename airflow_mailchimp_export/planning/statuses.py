"""Who may not be sent: all of them are read from Mailchimp, or what was kept of them and what changed since.

What an export read is kept (:mod:`~airflow_mailchimp_export.state.statuses`), so that the next run need only ask for
changes. What it then has must be no less than a full reading would give:

- It asks for what changed since the kept ones were read, by Mailchimp's own clock (the ``Date`` of its answers) or by
  this machine's where that says earlier. :data:`OVERLAP` is taken off: for changes that show late, for people who
  changed from one status to another while these were read one after the other, and for clocks and zones.
- Who is found there has the status that was found, and no other.
- Who changed and is subscribed is not kept any more: a page of them is read anyway, and the others only where more are
  kept than Mailchimp has, and only if that takes no more requests than reading all.
- Where Mailchimp then has another number of members of any status, all are read: a change was not shown, or somebody
  was deleted for good. So they are where the changes could not be read as a whole.
- All are read every :data:`LONGEST_KEPT` anyway, by a full run, and where the file is missing, damaged, of another
  release, export, audience or account, or of other statuses.

What a full reading found is kept only where each status had as many members as Mailchimp said, in one reading of its
pages; where Mailchimp says what time it is; and where it took more requests than asking does
(:data:`REQUESTS_TO_ASK`): else reading all is as quick.
So only two things at once go unseen: a member is missing, and another one who left the same status does not show
either. Missing is whose change Mailchimp does not show to who asks for the changes of a whole day, or who was on no
page, for more members left between two than pages overlap by; what does not show is who was deleted for good, or is
subscribed behind the first page of those who changed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from airflow_mailchimp_export.database import Database, quoted
from airflow_mailchimp_export.definition import RunContext
from airflow_mailchimp_export.errors import UnreadableFile
from airflow_mailchimp_export.mailchimp.calls import MemberPage
from airflow_mailchimp_export.mailchimp.members import count_members, count_pages, read_pages
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.planning.staging import Members, to_pairs
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.rules import HELD_BACK
from airflow_mailchimp_export.state import statuses
from airflow_mailchimp_export.state.scratch import scratch_dir
from airflow_mailchimp_export.state.statuses import GROUP_ROWS, STATUSES, StatusesMark

log = logging.getLogger(__name__)

OVERLAP = timedelta(days=1)
"""How much of what was read before is asked for again."""

LONGEST_KEPT = timedelta(days=30)
"""After what time all are read anyway."""

REQUESTS_TO_ASK = 2 * len(HELD_BACK) + 2
"""Requests that asking for changes takes where there are few: of each status what changed and how many there are, who
unsubscribed, and who is subscribed."""


@contextmanager
def looked_up(run: RunContext) -> Iterator[StatusLookup]:
    """Lend who may not be sent, found out by the way that is right for the run."""
    with (
        scratch_dir() as working,
        Database(working, "planning/statuses.sql") as database,
        Progress("Looking up", "members") as progress,
    ):
        lookup = StatusLookup(run, database, working / STATUSES, progress)
        lookup.read()
        yield lookup


class _ReadAll(Exception):
    """Why what is kept is not enough; empty where nothing is."""


class StatusLookup:
    """Who may not be sent, and how that was found out; made by :func:`looked_up`.

    :ivar how: as the log and the report say it.
    :ivar path: a Parquet file of who that is, as it is kept.
    """

    def __init__(self, run: RunContext, database: Database, path: Path, progress: Progress) -> None:
        self.how = ""
        self.path = path
        self._definition = run.definition
        self._gateway = run.gateway
        self._folder = run.folder.export_folder()
        self._has_kept = self._folder.exists(STATUSES)
        self._database = database
        self._progress = progress
        self._began = run.gateway.now()
        self._is_complete = True
        self._is_outdated = True
        self._mark = StatusesMark(
            run.definition.name,
            run.definition.audience_id,
            run.identity.account.data_center,
            tuple(status.value for status in HELD_BACK),
            read_at=_iso(self._began),
            current_at=_current_at(self._began, run.gateway.server_time),
        )

    def read(self) -> None:
        """Find out, and write :attr:`path`."""
        self._database.script("tables")
        try:
            self.how = self._ask_for_changes(self._take_kept())
        except _ReadAll as reason:
            self.how = self._read_all(str(reason))
        statuses.write(self.path, self._mark, self._database.reader("rows", rows=GROUP_ROWS))
        log.info("Who may not be sent: %s", self.how)

    def keep(self) -> None:
        """Keep it for the next run, where that can believe it and is spared requests by it."""
        if self._definition.dry_run:
            return
        believable = self._is_complete and bool(self._mark.current_at)
        if self._definition.withdraw or not believable or not _is_worth_keeping(self._members()):
            if self._has_kept:
                self._folder.remove(STATUSES)
        elif self._is_outdated or self._database.rows("changes")[0][0]:
            with self._folder.writing(STATUSES) as draft:
                shutil.copyfile(self.path, draft)

    def _take_kept(self) -> StatusesMark:
        """Take in what was kept, if it may be used.

        :raises _ReadAll: it may not.
        """
        if self._definition.full:
            raise _ReadAll("a full run reads all")
        if not self._has_kept:
            raise _ReadAll
        try:
            with statuses.opened(self._folder) as kept:
                mark = kept.mark
                self._check(mark)
                self._database.script("keep", path=quoted(kept.path))
        except (UnreadableFile, OSError) as error:
            raise _ReadAll(_problem(error)) from error
        if not {*self._members()} <= {*self._mark.statuses}:
            raise _ReadAll(f"{STATUSES} has a status that is not known")
        return mark

    def _check(self, kept: StatusesMark) -> None:
        own = self._mark
        if replace(kept, read_at=own.read_at, current_at=own.current_at) != own:
            raise _ReadAll(f"{STATUSES} is of another export, audience or account, or of other statuses")
        try:
            age = self._began - datetime.fromisoformat(kept.read_at)
            self._is_outdated = self._began - datetime.fromisoformat(kept.current_at) > OVERLAP
        except (ValueError, TypeError):
            raise _ReadAll(f"{STATUSES} does not say when it was read") from None
        if not timedelta() <= age <= LONGEST_KEPT:
            raise _ReadAll(f"all were read last at {kept.read_at}")

    def _ask_for_changes(self, kept: StatusesMark) -> str:
        """Take in what changed; return what was done.

        :raises _ReadAll: some of it could not be read, or Mailchimp has other numbers then.
        """
        since = _iso(datetime.fromisoformat(kept.current_at) - OVERLAP)
        for status in HELD_BACK:
            self._find_changes(status, changed_since=since)
        # When they left is another moment than when they changed.
        self._find_changes(MemberStatus.UNSUBSCRIBED, since=since)
        self._compare(since)
        self._mark = replace(self._mark, read_at=kept.read_at)
        people = self._database.rows("found_members")[0][0]
        return f"asked for what changed since {since}: {people:,} people; totals agree"

    def _find_changes(self, status: MemberStatus, **moment: str) -> None:
        def read_all() -> None:
            raise _ReadAll(f"changes of {status} could not be read as a whole")

        audience_id = self._definition.audience_id
        self._find(status, read_pages(self._gateway, audience_id, status, on_gap=read_all, **moment))

    def _compare(self, since: str) -> None:
        totals = {status.value: self._total(status) for status in HELD_BACK}
        self._let_return(since, most=1)
        if any(number > totals[status] for status, number in self._members().items()):
            self._let_return(since, most=sum(map(count_pages, totals.values())))
        members = self._members()
        for status, total in totals.items():
            if members.get(status, 0) != total:
                raise _ReadAll(f"total of {status} is {total:,}, kept {members.get(status, 0):,}")

    def _let_return(self, since: str, *, most: int) -> None:
        """Keep nobody any more who changed and is subscribed; of more pages than so many only the first is read."""
        audience_id, subscribed = self._definition.audience_id, MemberStatus.SUBSCRIBED
        for page in read_pages(self._gateway, audience_id, subscribed, changed_since=since):
            self._take("return", page.members)
            if count_pages(page.total) > most:
                return

    def _read_all(self, reason: str) -> str:
        self._database.script("start_again")
        self._is_outdated = True
        totals: dict[MemberStatus, int] = {}
        gaps: list[str] = []
        for status in HELD_BACK:
            note_gap = partial(gaps.append, f"no reading of {status} met as many as there are")
            pages = read_pages(self._gateway, self._definition.audience_id, status, on_gap=note_gap)
            totals[status] = self._find(status, pages)
        members = self._members()
        off = [
            f"total of {status} is {total:,}, found {members.get(status, 0):,}"
            for status, total in totals.items()
            if members.get(status, 0) != total
        ]
        doubts = [*off, *gaps]
        self._is_complete = not doubts
        notes = [reason] if reason else []
        notes += [f"{doubt}, so nothing is kept" for doubt in doubts[:1]]
        told = f"read all {sum(members.values()):,}"
        return f"{told}: {'; '.join(notes)}" if notes else told

    def _find(self, status: MemberStatus, pages: Iterable[MemberPage]) -> int:
        """Take in the members of a status; return how many Mailchimp says there are."""
        total = 0
        for page in pages:
            total = page.total
            self._take("find", page.members, status=status.value)
        return total

    def _take(self, statement: str, members: Members, **parameters: object) -> None:
        pairs = to_pairs(members)
        with self._database.incoming(pairs):
            self._database.run(statement, **parameters)
        self._progress.advance(len(pairs))

    def _members(self) -> dict[str, int]:
        return dict(self._database.rows("members"))

    def _total(self, status: MemberStatus) -> int:
        return count_members(self._gateway, self._definition.audience_id, [status])


def _problem(error: Exception) -> str:
    said = error.problem if isinstance(error, UnreadableFile) else f"cannot be read ({type(error).__name__})"
    return f"{STATUSES} {said}"


def _is_worth_keeping(members: Mapping[str, int]) -> bool:
    return sum(count_pages(members.get(status.value, 0)) for status in HELD_BACK) > REQUESTS_TO_ASK


def _current_at(now: datetime, server_time: datetime | None) -> str:
    return _iso(min(now, server_time)) if server_time else ""


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
