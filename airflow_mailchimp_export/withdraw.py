"""Takes back all tags that an export gave: ``python -m airflow_mailchimp_export.withdraw EXPORT``.

For an export that is to end. It is a run of the export like any other, with its lock, its ledger and its report, but
it reads no source, so it also works once the entry in ``exports.yaml`` and the DAG are gone: the ledger says whom the
export gave which tag. What it needs is the Airflow connection, with consent.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.config.entries import Export as Entry
from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.definition import ExportDefinition, RunContext, RunIdentity
from airflow_mailchimp_export.errors import ConfigError, ExportError, UnreadableFile
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.hooks import MailchimpHook, free_lock, log_consent
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import parse_export_name
from airflow_mailchimp_export.planning.tags import TagWarning
from airflow_mailchimp_export.settings.names import did_you_mean
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.ledger import LEDGER, LedgerMark, read_mark
from airflow_mailchimp_export.state.run import ExportFolder

TASK_OF_ENTRIES = "export"
"""The task of a configured export, by which its folder is called ``<name of the entry>.export``."""

INTERRUPTED = 130
"""What a shell returns of a command that was interrupted."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What is to be withdrawn, and how Mailchimp is reached.

    :param mark: what the ledger says of itself.
    :param dag_id: the DAG that the export belongs to, which the connection has to allow.
    :param is_enabled: whether the export is known to go on, and so to give its tags again.
    """

    folder: ExportFolder
    mark: LedgerMark
    hook: MailchimpHook
    dag_id: str
    is_enabled: bool = False

    def run(self, *, dry_run: bool) -> Report:
        """Take the tags back, or count whom that would concern.

        :raises ExportError: says what is in the way, and what to do.
        """
        settings, started_at = self.hook.settings(), datetime.now(UTC)
        log_consent(settings, self.hook.mailchimp_conn_id)
        run = self.folder.run(parse_export_name(f"withdraw__{started_at.isoformat(timespec='seconds')}"))
        with self.hook.client(settings) as client:
            context = RunContext(
                definition=self._definition(dry_run=dry_run),
                identity=RunIdentity(
                    run_id=run.name,
                    dag_id=self.dag_id,
                    export_user=settings.export_user,
                    started_at=started_at.isoformat(timespec="seconds"),
                ),
                gateway=Gateway(client, self.hook.permit(self.dag_id)),
                folder=run,
                path_factory=storage_path,
            )
            return _report_of(context)

    def _definition(self, *, dry_run: bool) -> ExportDefinition:
        return ExportDefinition(
            name=self.mark.export,
            audience_id=self.mark.audience_id,
            segments=(),
            field_map=parse_field_map({"EMAIL": "email"}),
            delivery=Delivery.DIRECT,
            dry_run=dry_run,
        ).withdrawal()


def find(name: str, root: str, *, conn_id: str | None = None, config: Path | None = None) -> Withdrawal:
    """Find an export by its name, or by that of its entry in ``exports.yaml``, whether it is there still or not.

    :param root: where exports are kept.
    :param conn_id: the connection; that of the entry, or the usual one, unless given.
    :param config: a file with entries, which may have one of this export.
    :raises ConfigError: there is no such export, or its entry or all of the file has mistakes.
    """
    entry = _entry(name, config)
    folder = _folder(name, root)
    mark = read_mark(folder)
    if mark is None:
        raise ConfigError(
            f"Export {name!r} has no ledger in {folder.uri}, so it is not known whom it gave a tag",
            "Give the right location with --exports-root",
        )
    usual = entry.connection if entry else MailchimpHook.default_conn_name
    hook = MailchimpHook(conn_id or usual)
    return Withdrawal(folder, mark, hook, _dag_id(folder) or name, bool(entry and entry.enabled))


def _entry(name: str, config: Path | None) -> Entry | None:
    if config is None:
        return None
    loaded = load(config)
    if loaded.configuration is None or name in loaded.broken:
        raise loaded.error()
    return loaded.configuration.exports.get(name)


def _folder(name: str, root: str) -> ExportFolder:
    place = storage_path(root) if "://" in root else Path(root)
    candidates = [name, f"{name}.{TASK_OF_ENTRIES}"]
    folders = {export: ExportFolder(place / parse_export_name(export)) for export in candidates}
    found = {export: folder for export, folder in folders.items() if folder.exists(LEDGER)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ConfigError(
            f"Both {' and '.join(map(repr, found))} are exports in {root}",
            f"Give the whole name {candidates[1]!r} if that one is meant; rename the folder of the other until then",
        )
    known = [other for other in Folder(place).names() if ExportFolder(place / other).exists(LEDGER)]
    names = [other.removesuffix(f".{TASK_OF_ENTRIES}") for other in known]
    raise ConfigError(
        f"There is no export {name!r} in {root}{did_you_mean(name, names)}",
        f"Name one of {', '.join(names)}" if names else "Give the right location with --exports-root",
    )


def _dag_id(folder: ExportFolder) -> str:
    """Return the DAG that the newest run of the export that can be read was of."""
    found = []
    for run in folder.runs():
        try:
            found.append((run.manifest.started_at, run.manifest.dag_id))
        except UnreadableFile:
            continue
    return max(found)[1] if found else ""


def _report_of(context: RunContext) -> Report:
    export = Export(context)
    try:
        report = export.submit().report
    except KeyboardInterrupt:
        free_lock(context.folder)
        raise
    assert report is not None  # direct delivery leaves nothing to wait for
    return report


def described(report: Report, withdrawal: Withdrawal) -> list[str]:
    """Say in lines what was done, or would be; never an address."""
    would = "would lose" if report.dry_run else "lost"
    lines = [
        f"Export {report.export} of audience {report.audience_id}: {report.counts.removed:,} people {would} their tags"
    ]
    lines += [f"  {name}: {segment.left:,}" for name, segment in report.segments.items()]
    kept = [warning for warning in report.warnings if warning.kind != TagWarning.UNKNOWN]
    lines += [f"  {warning.field}: {_kept(warning.kind, warning.count)}" for warning in kept]
    if report.counts.removal_failed:
        lines.append(f"  {report.counts.removal_failed:,} people could not be untagged: do this again")
    return [*lines, f"Files: {withdrawal.folder.uri}/{report.run_id}"]


def _kept(kind: str, people: int) -> str:
    if kind == TagWarning.KEPT:
        return f"kept by {people:,} people, who unsubscribed, bounced or have yet to confirm"
    return "kept, because another export gives it by now"


def to_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_mailchimp_export.withdraw",
        description="Take all tags that an export gave from everybody who has them by it.",
    )
    parser.add_argument("export", help="its name in exports.yaml, or the export_name of its operator")
    parser.add_argument("--dry-run", action="store_true", help="say how many people that concerns, no more")
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is changed")
    parser.add_argument("--conn-id", help="the Airflow connection; that of the entry, or mailchimp_default")
    parser.add_argument("--config", type=Path, help="exports.yaml, to find the connection there")
    parser.add_argument("--exports-root", help="where exports are kept; Airflow's configuration unless given")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 if everybody lost the tags, or if that was not asked for."""
    given = to_parser().parse_args(arguments)
    # As Airflow's own commands do: connections are looked up in its metastore too, which tasks may not read.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        root = given.exports_root or default_exports_root()
        withdrawal = find(given.export, root, conn_id=given.conn_id, config=given.config)
        return _withdraw(withdrawal, dry_run=given.dry_run, yes=given.yes)
    except ExportError as error:
        print(f"withdraw: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("withdraw: stopped; do this again to go on with it", file=sys.stderr)
        return INTERRUPTED


def _withdraw(withdrawal: Withdrawal, *, dry_run: bool, yes: bool) -> int:
    if withdrawal.is_enabled:
        print(
            "withdraw: the export is switched on, and its next run gives the tags again: "
            "set enabled: false in its entry",
            file=sys.stderr,
        )
    if dry_run or not yes:
        would_be = withdrawal.run(dry_run=True)
        print(*described(would_be, withdrawal), sep="\n")
        if dry_run:
            return 0
        if not _is_wanted():
            return 1
    report = withdrawal.run(dry_run=False)
    print(*described(report, withdrawal), sep="\n")
    return 0 if report.verdict is Verdict.SUCCESS else 1


def _is_wanted() -> bool:
    """Ask; where nobody can answer, that is no."""
    if not sys.stdin.isatty():
        print("withdraw: nothing was changed, because nobody can be asked here: give --yes", file=sys.stderr)
        return False
    if input("Take them away? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("withdraw: nothing was changed", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
