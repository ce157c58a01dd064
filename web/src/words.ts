/** Numbers, moments and outcomes in words. */

const NUMBER = new Intl.NumberFormat("en");

export const number = (value: number): string => NUMBER.format(value);

export function duration(from: string | null, to: string | null): string {
  if (!from || !to) return "";
  const seconds = Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A moment to the minute, in UTC as Airflow shows it unless somebody chooses otherwise; what is none, as it is. */
export const moment = (iso: string): string =>
  Number.isNaN(Date.parse(iso)) ? iso : `${new Date(iso).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** The same to the second, of milliseconds since 1970. */
export const secondOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;

const OUTCOMES: Record<string, readonly [words: string, colour: string]> = {
  success: ["success", "green"],
  partial: ["partial", "orange"],
  failed: ["failed", "red"],
  refused: ["refused", "red"],
  dry_run: ["dry run", "purple"],
  unknown: ["no account", "gray"],
  running: ["running", "cyan"],
  queued: ["queued", "gray"],
};

export const outcomeWords = (outcome: string): string => OUTCOMES[outcome]?.[0] ?? outcome;
export const outcomeColour = (outcome: string): string => OUTCOMES[outcome]?.[1] ?? "gray";

/** A word of the report, such as missing_address, as people write it. */
export const plain = (word: string): string => word.replaceAll("_", " ");

/** Words as the head of a column. */
export const head = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

/** An address that a link may lead to: what a report says of itself could be anything. */
export const webAddress = (address: string | undefined): string | undefined =>
  address && /^https?:\/\//i.test(address) ? address : undefined;

export const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));
