/** What the pages work out, apart from how they show it. */
import type { Allowance, Counts, ListedExport, ListedRun, Report } from "./report";

export const PARTS = [
  ["created", "created", "green"],
  ["updated", "updated", "blue"],
  ["unchanged", "unchanged", "gray"],
  ["merged", "merged", "cyan"],
  ["suppressed", "suppressed", "purple"],
  ["rejected", "rejected", "red"],
  ["unconfirmed", "unconfirmed", "orange"],
  ["not_sent", "not sent", "yellow"],
] as const satisfies readonly (readonly [keyof Counts, string, string])[];

export type Part = { key: keyof Counts; label: string; colour: string; value: number; width: number };

/** The parts that a run's rows came to, each with its share of the picture in percent; those without rows are left out. */
export function partsOf(counts: Counts): Part[] {
  const whole = PARTS.reduce((sum, [key]) => sum + counts[key], 0);
  return PARTS.filter(([key]) => counts[key] > 0).map(([key, label, colour]) => {
    const value = counts[key];
    return { key, label, colour, value, width: (100 * value) / whole };
  });
}

/** Whether every row that was read is in one of the parts. */
export const addsUp = (counts: Counts): boolean =>
  counts.rows_read === PARTS.reduce((sum, [key]) => sum + counts[key], 0);

const ENDED_WELL = new Set(["success", "dry_run", "unknown"]);
const AT_WORK = new Set(["queued", "running", "restarting"]);

export const isAtWork = (outcome: string): boolean => AT_WORK.has(outcome);

/** The newest run that has ended; whoever asks for trouble does not mean what is under way. */
export const lastEnded = (runs: ListedRun[]): ListedRun | undefined => runs.find((run) => !isAtWork(run.outcome));

export function isInTrouble(row: ListedExport): boolean {
  const last = lastEnded(row.runs);
  return last !== undefined && !ENDED_WELL.has(last.outcome);
}

/** In one word how a run ended of which a task has told. */
export function outcomeOf({ refused, dry_run, verdict }: Pick<Report, "refused" | "dry_run" | "verdict">): string {
  if (refused) return "refused";
  return dry_run && verdict !== "failed" ? "dry_run" : verdict;
}

/** Whether a run has told of nothing but the dry run before it. */
export const onlyPreviewed = (told: Report[]): boolean => told.length > 0 && told.every((report) => report.preview === true);

/** Whether it has failed after that: what was told says nothing of what was sent. A release of before tells of any dry run alike. */
export const failedAfterPreview = (state: string, told: Report[]): boolean =>
  state === "failed" && told.length > 0 && told.every((report) => report.preview !== false && outcomeOf(report) === "dry_run");

/** What would let a run through. The limit is the DAG's: of several exports, it would hold for the others no more either. */
export const allowanceOf = (told: Report[]): Allowance | undefined =>
  told.length === 1 ? (told[0]?.problem?.allow ?? undefined) : undefined;

export type Filters = { text: string; connection: string; trouble: boolean };

export function filtered(rows: ListedExport[], filters: Filters): ListedExport[] {
  const wanted = filters.text.trim().toLowerCase();
  return rows.filter((row) => {
    const target = targetOf(row);
    const words = [row.name, row.dag_id, row.export, target?.audience?.name, target?.audience?.id, target?.connection_id];
    return (
      (!filters.trouble || isInTrouble(row)) &&
      (!filters.connection || target?.connection_id === filters.connection) &&
      (!wanted || words.some((word) => word?.toLowerCase().includes(wanted)))
    );
  });
}

/** The newest run that knows where the export goes. */
export const targetOf = (row: ListedExport): ListedRun | undefined => row.runs.find((run) => run.connection_id);

export const connectionsOf = (rows: ListedExport[]): string[] =>
  [...new Set(rows.map((row) => targetOf(row)?.connection_id).filter((id) => id !== undefined))].sort();

export type Values = Record<string, unknown>;

/** Of the values of a form, those that differ from what the DAG runs with anyway. */
export const changed = (values: Values, usual: Values): Values =>
  Object.fromEntries(
    Object.entries(values).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(usual[name])),
  );

/** The parameters of a run again, for one that is no rehearsal, also where the DAG's own default is one. */
export const forReal = (conf: Values): Values => ({ ...conf, dry_run: false });

/** What somebody typed, for a parameter of these types; what is no text is written as JSON. */
export function typed(words: string, types: readonly unknown[]): unknown {
  if (!words && types.includes("null")) return null;
  if (types.every((type) => type === "string" || type === "null")) return words;
  try {
    return JSON.parse(words);
  } catch {
    return words;
  }
}

/** How a share of work that is done is shown, in whole percent; undefined where the whole is not known. */
export const percentDone = (done: number, total: number | null | undefined): number | undefined =>
  total ? Math.min(100, Math.round((100 * done) / total)) : undefined;

/** A page of a list, and how many pages there are; a number that is too high leads to the last page. */
export function pageOf<T>(rows: T[], wanted: number, size: number): { rows: T[]; page: number; pages: number } {
  const pages = Math.max(1, Math.ceil(rows.length / size));
  const page = Math.min(Math.max(0, wanted), pages - 1);
  return { rows: rows.slice(page * size, (page + 1) * size), page, pages };
}
