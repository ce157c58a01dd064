/** What a run publishes, as far as the pages show it; published/models.py has all of it. */

export type Counts = {
  rows_read: number;
  merged: number;
  rejected: number;
  suppressed: number;
  unchanged: number;
  created: number;
  updated: number;
  unconfirmed: number;
  not_sent: number;
  removed: number;
  removal_failed: number;
};

export type Audience = { id: string; name: string; page: string };

export type Removal = { tag: string; removed: number; owned: number };

/** What a release of before published has no removals. */
export type Allowance = { param: string; value: number; removals?: Removal[] };

export type Problem = {
  kind: string;
  message: string;
  remedy: string;
  allow: Allowance | null;
};

export type Segment = { name: string; rows: number; members: number; joined: number; left: number };

export type SampleReject = {
  segments: string[];
  source: string;
  field: string;
  reason: string;
  mailchimp_says: string;
  remedy: string;
};

export type Warning = { field: string; kind: string; count: number; examples: string[]; remedy: string };

export type Report = {
  schema: number;
  export: string;
  connection_id: string;
  audience: Audience;
  export_user: string;
  started_at: string;
  finished_at: string;
  delivery: string;
  dry_run: boolean;
  /** A release of before does not say it. */
  preview?: boolean;
  full: boolean;
  withdraw?: boolean;
  look_up?: string;
  verdict: "success" | "partial" | "failed";
  refused: boolean;
  problem: Problem | null;
  counts: Counts | null;
  rejects_by_reason: Record<string, number>;
  suppressed_by_reason: Record<string, number>;
  rejects_new: number;
  sample_rejects: SampleReject[];
  segments: Segment[];
  batch_ids: string[];
  warnings: Warning[];
  versions: Record<string, string>;
  run_uri: string;
  truncated: Record<string, number>;
};

const NOTHING_COUNTED: Counts = {
  rows_read: 0, merged: 0, rejected: 0, suppressed: 0, unchanged: 0, created: 0, updated: 0, unconfirmed: 0, not_sent: 0, removed: 0,
  removal_failed: 0,
};

const NOTHING_TOLD: Report = {
  schema: 1, export: "", connection_id: "", audience: { id: "", name: "", page: "" }, export_user: "", started_at: "", finished_at: "",
  delivery: "", dry_run: false, full: false, verdict: "failed", refused: false, problem: null, counts: null, rejects_by_reason: {},
  suppressed_by_reason: {}, rejects_new: 0, sample_rejects: [], segments: [], batch_ids: [], warnings: [], versions: {}, run_uri: "",
  truncated: {},
};

/** A report with all keys: a release of before had fewer of them under the same number. */
export function whole(told: Partial<Report>): Report {
  return { ...NOTHING_TOLD, ...told, counts: told.counts ? { ...NOTHING_COUNTED, ...told.counts } : null };
}

/** A run in a list; of one that published nothing there is only its outcome. */
export type ListedRun = { run_id: string; outcome: string; at: string; ended: string | null } & Partial<
  Pick<
    Report,
    "counts" | "rejects_new" | "dry_run" | "connection_id" | "audience" | "problem" | "segments" | "truncated"
  >
>;

export type ListedExport = {
  dag_id: string;
  export: string;
  name: string;
  paused: boolean;
  schedule: string;
  may_run: boolean;
  may_pause: boolean;
  runs: ListedRun[];
};
