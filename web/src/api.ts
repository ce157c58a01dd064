/** Calls to the API server that the page came from, with the session of whoever looks at it. */
import { isAccount } from "./foreign";
import { whole, type ListedExport, type Report } from "./report";

const HERE = import.meta.url;
/** The API server's root: the bundle is mailchimp/static/main.js under it, whatever path comes before. */
const ROOT = new URL("../../", HERE);

export class Refused extends Error {
  constructor(
    readonly status: number,
    words: string,
  ) {
    super(words);
  }
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(new URL(path, ROOT), {
    method,
    credentials: "same-origin",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return (await answer.json()) as T;
}

async function reason(answer: Response): Promise<string> {
  const told = (await answer.json().catch(() => ({}))) as { detail?: unknown };
  const words = typeof told.detail === "string" ? told.detail : told.detail ? JSON.stringify(told.detail) : "";
  return words || `${answer.status} ${answer.statusText}`;
}

const part = encodeURIComponent;
const runPath = (dagId: string, runId: string) => `api/v2/dags/${part(dagId)}/dagRuns/${part(runId)}`;

export const loginPage = (): string =>
  new URL(`api/v2/auth/login?next=${part(window.location.href)}`, ROOT).href;

/** A page by itself, for it leads to Mailchimp and back; the server says who may sign in. */
export const signInPage = (connId: string): string =>
  new URL(`mailchimp/sign-in?connection=${part(connId)}`, ROOT).href;

export type Listing = { airflow: string; exports: ListedExport[]; may_connections?: boolean };
export type Rights = { may_run: boolean; may_pause: boolean };
export type DagRun = {
  state: string;
  conf: Record<string, unknown> | null;
  run_type: string;
  triggering_user_name?: string | null;
  start_date: string | null;
  end_date: string | null;
  run_after: string;
};
export type TaskInstance = {
  task_id: string;
  map_index: number;
  state: string | null;
  operator_name?: string | null;
  operator?: string | null;
  rendered_fields?: Record<string, unknown>;
};
export type Param = { value: unknown; description?: string | null; schema: ParamSchema };
export type ParamSchema = {
  type?: string | string[];
  enum?: unknown[];
  examples?: unknown[];
  title?: string;
  values_display?: Record<string, string>;
  minimum?: number;
  maximum?: number;
};
export type Progress = { phase: string; unit: string; done: number; total: number | null };

export const listing = () => call<Listing>("GET", "mailchimp/api/exports");
export const history = (dagId: string) => call<Listing>("GET", `mailchimp/api/exports/${part(dagId)}`);
export const rights = (dagId: string) => call<Rights>("GET", `mailchimp/api/rights/${part(dagId)}`);

export type RejectsFiles = { may_download: boolean; here: string[] };
const rejectsPath = (dagId: string, runId: string) => `mailchimp/api/rejects/${part(dagId)}/${part(runId)}`;

/** Whether the user may have the rejects of a run, and of which of its exports the API server has them. */
export const rejectsOf = (dagId: string, runId: string) => call<RejectsFiles>("GET", rejectsPath(dagId, runId));
export const rejectsFile = (dagId: string, runId: string, name: string) =>
  new URL(`${rejectsPath(dagId, runId)}/file?export=${part(name)}`, ROOT).href;

export const dagRun = (dagId: string, runId: string) => call<DagRun>("GET", runPath(dagId, runId));

export const params = async (dagId: string) =>
  (await call<{ params: Record<string, Param> | null }>("GET", `api/v2/dags/${part(dagId)}/details`)).params ?? {};

/** The first of a list, and how many more Airflow has. */
export type Some<T> = { found: T[]; left: number };

const MOST_TASKS = 100;
const MOST_REPORTS = 50;

export async function tasks(dagId: string, runId: string): Promise<Some<TaskInstance>> {
  const { task_instances, total_entries } = await call<{ task_instances: TaskInstance[]; total_entries?: number | null }>(
    "GET",
    `${runPath(dagId, runId)}/taskInstances?limit=${MOST_TASKS}`,
  );
  return { found: task_instances, left: more(total_entries, task_instances) };
}

/** The tasks of one operator, with what their templates became. */
export async function settingsOf(dagId: string, runId: string, operator: string): Promise<Some<TaskInstance>> {
  const { found, left } = await tasks(dagId, runId);
  const asked = found.filter((task) => (task.operator_name ?? task.operator) === operator);
  return { found: await Promise.all(asked.map((task) => rendered(dagId, runId, task))), left };
}

/** Before Airflow 3.3 the list of tasks leaves out what their templates became; each task by itself has it. */
async function rendered(dagId: string, runId: string, task: TaskInstance): Promise<TaskInstance> {
  if (Object.keys(task.rendered_fields ?? {}).length) return task;
  const path = `${runPath(dagId, runId)}/taskInstances/${part(task.task_id)}`;
  return call<TaskInstance>("GET", task.map_index < 0 ? path : `${path}/${task.map_index}`);
}

const more = (total: number | null | undefined, found: unknown[]): number => Math.max(0, (total ?? 0) - found.length);

const KEY = "mailchimp_report";
type Entry = { task_id: string; map_index: number };

/** The accounts that the first tasks of a run have published, each once; how many more tasks have published some; and whether some are of a newer release, which this one cannot read. */
export async function reports(dagId: string, runId: string): Promise<Some<Report> & { newer: boolean }> {
  const base = `${runPath(dagId, runId)}/taskInstances`;
  const { xcom_entries, total_entries } = await call<{ xcom_entries: Entry[]; total_entries?: number | null }>(
    "GET",
    `${base}/~/xcomEntries?xcom_key=${KEY}&limit=${MOST_REPORTS}`,
  );
  const values = await Promise.all(
    xcom_entries.map((entry) =>
      call<{ value: unknown }>("GET", `${base}/${part(entry.task_id)}/xcomEntries/${KEY}?map_index=${entry.map_index}`),
    ),
  );
  return {
    found: newestOfEach(values.flatMap(({ value }) => accountsIn(value))),
    left: more(total_entries, xcom_entries),
    newer: values.some(({ value }) => isNewer(value)),
  };
}

/** Whether a value holds an account in a form that came after this release. */
export const isNewer = (value: unknown): boolean =>
  entriesOf(value).some((one) => {
    const schema: unknown = (one as Partial<Report> | null)?.schema;
    return typeof schema === "number" && schema > SCHEMA;
  });

const SCHEMA = 1;

/** A backend of XComs may keep values as texts; a task that was given several runs publishes a list. */
function entriesOf(value: unknown): unknown[] {
  if (typeof value !== "string") return [value].flat();
  try {
    return [JSON.parse(value)].flat();
  } catch {
    return [];
  }
}

export const accountsIn = (value: unknown): Report[] =>
  entriesOf(value)
    .filter((one): one is Partial<Report> => isAccount(one))
    .map(whole);

/** Of each export what was told last; a report that was handed no run knows no name, and counts where nothing else was told. */
export function newestOfEach(found: Report[]): Report[] {
  const newest = new Map<string, Report>();
  for (const report of found) {
    const known = newest.get(report.export);
    if (!known || known.finished_at <= report.finished_at) newest.set(report.export, report);
  }
  const named = [...newest.values()].filter((report) => report.export);
  return named.length ? named : [...newest.values()];
}

/** How far a task is; undefined where Airflow is older than 3.3, or the task has told nothing. */
export async function progress(dagId: string, runId: string, task: TaskInstance): Promise<Progress | undefined> {
  const path = `${runPath(dagId, runId)}/taskInstances/${part(task.task_id)}/state-store/mailchimp_progress`;
  try {
    const { value } = await call<{ value: unknown }>("GET", `${path}?map_index=${task.map_index}`);
    return ((typeof value === "string" ? JSON.parse(value) : value) ?? undefined) as Progress | undefined;
  } catch {
    return undefined;
  }
}

export const trigger = (dagId: string, conf: Record<string, unknown>) =>
  call<{ dag_run_id: string }>("POST", `api/v2/dags/${part(dagId)}/dagRuns`, { logical_date: null, conf });

export const setPaused = (dagId: string, paused: boolean) =>
  call<unknown>("PATCH", `api/v2/dags/${part(dagId)}?update_mask=is_paused`, { is_paused: paused });

export const cancel = (dagId: string, runId: string) =>
  call<unknown>("PATCH", `${runPath(dagId, runId)}?update_mask=state`, { state: "failed" });

/** Run again what failed of a run. */
export const tryAgain = (dagId: string, runId: string) =>
  call<unknown>("POST", `${runPath(dagId, runId)}/clear`, { dry_run: false, only_failed: true });
