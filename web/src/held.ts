/** What was loaded last, and what became of the last attempt. */

/** @param at when the data were loaded, in milliseconds since 1970. */
export type Held<T> = { data?: T; error?: unknown; at?: number };

/** Answers that mean that what was shown may be shown no more: logged out, no right, gone. */
const FINAL = new Set([401, 403, 404]);

export function afterFailure<T>(before: Held<T>, error: unknown): Held<T> {
  const status = (error as { status?: unknown } | null)?.status;
  return FINAL.has(Number(status)) ? { error } : { ...before, error };
}
