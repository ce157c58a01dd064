/** Whether a value can be an account of a run; pages/foreign.py looks at the same kinds, for the lists. */
type Kind = (value: unknown) => boolean;

const text: Kind = (value) => typeof value === "string";
const flag: Kind = (value) => typeof value === "boolean";
const number: Kind = (value) => typeof value === "number";
const isTable = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const nullable = (kind: Kind): Kind => (value) => value === null || kind(value);
const each = (kind: Kind): Kind => (value) => Array.isArray(value) && value.every(kind);
const table = (kind: Kind): Kind => (value) => isTable(value) && Object.values(value).every(kind);
const parts = (kinds: Record<string, Kind>): Kind => (value) =>
  isTable(value) && Object.entries(kinds).every(([key, kind]) => !Object.hasOwn(value, key) || kind(value[key]));

const removals = each(parts({ tag: text, removed: number, owned: number }));
const allowance = parts({ param: text, value: number, removals });
const reject = { segments: each(text), source: text, field: text, reason: text, mailchimp_says: text, remedy: text };

const account = parts({
  export: text, connection_id: text, audience: parts({ id: text, name: text, page: text }), export_user: text, started_at: text,
  finished_at: text, delivery: text, dry_run: flag, preview: flag, full: flag, withdraw: flag, look_up: text, verdict: text, refused: flag,
  problem: nullable(parts({ kind: text, message: text, remedy: text, allow: nullable(allowance) })), counts: nullable(table(number)),
  rejects_by_reason: table(number), suppressed_by_reason: table(number), rejects_new: number, sample_rejects: each(parts(reject)),
  segments: each(parts({ name: text, rows: number, members: number, joined: number, left: number })), batch_ids: each(text),
  warnings: each(parts({ field: text, kind: text, count: number, examples: each(text), remedy: text })), versions: table(text),
  run_uri: text, truncated: table(number),
});

/** An account of an earlier release lacks some keys; any other DAG may push whatever it likes under the key of ours. */
export const isAccount = (value: unknown): boolean => account(value) && (value as { schema?: unknown }).schema === 1;
