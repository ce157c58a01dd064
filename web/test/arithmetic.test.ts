import { describe, expect, test } from "vitest";

import {
  addsUp, allowanceOf, changed, connectionsOf, failedAfterPreview, filtered, forReal, isInTrouble, onlyPreviewed, outcomeOf, pageOf, partsOf, percentDone, typed,
} from "../src/arithmetic";
import type { Counts, ListedExport, Report } from "../src/report";

const COUNTS: Counts = {
  rows_read: 17022, merged: 3427, rejected: 737, suppressed: 848, unchanged: 0, created: 10508, updated: 1502,
  unconfirmed: 0, not_sent: 0, removed: 40, removal_failed: 3,
};

const row = (dag_id: string, outcome: string, connection_id = "mailchimp_default"): ListedExport => ({
  dag_id, export: `${dag_id}.export`, name: dag_id, paused: false, schedule: "by hand", may_run: true, may_pause: true,
  runs: [{ run_id: "r", outcome, at: "2026-11-22T03:12:25+00:00", ended: null, connection_id, audience: { id: "a1", name: "Customers", page: "" } }],
});

describe("the picture of a run", () => {
  test("has a part for each count with rows, and they fill it", () => {
    const parts = partsOf(COUNTS);
    expect(parts.map((part) => part.key)).toEqual(["created", "updated", "merged", "suppressed", "rejected"]);
    expect(parts.reduce((sum, part) => sum + part.width, 0)).toBeCloseTo(100);
    expect(parts.reduce((sum, part) => sum + part.value, 0)).toBe(COUNTS.rows_read);
  });

  test("of no rows is empty", () => {
    const none = Object.fromEntries(Object.keys(COUNTS).map((key) => [key, 0])) as Counts;
    expect(partsOf(none)).toEqual([]);
    expect(addsUp(none)).toBe(true);
  });

  test("who was removed stands beside the sum, and a lost row is noticed", () => {
    expect(addsUp(COUNTS)).toBe(true);
    expect(addsUp({ ...COUNTS, removed: 9000 })).toBe(true);
    expect(addsUp({ ...COUNTS, created: COUNTS.created - 1 })).toBe(false);
  });
});

describe("the list of exports", () => {
  const rows = [row("a", "success"), row("b", "partial"), row("c", "refused", "other"), row("d", "dry_run")];
  const names = (found: ListedExport[]) => found.map(({ dag_id }) => dag_id);

  test("is filtered by trouble, connection and text, and by all of them at once", () => {
    expect(names(filtered(rows, { text: "", connection: "", trouble: true }))).toEqual(["b", "c"]);
    expect(names(filtered(rows, { text: "", connection: "other", trouble: false }))).toEqual(["c"]);
    expect(names(filtered(rows, { text: " CUSTOM", connection: "", trouble: false }))).toEqual(["a", "b", "c", "d"]);
    expect(names(filtered(rows, { text: "a", connection: "other", trouble: true }))).toEqual(["c"]);
  });

  test("takes a run that is under way for no trouble, but the one before it", () => {
    const [running, failed] = [row("a", "running"), row("a", "failed")];
    expect(isInTrouble(running)).toBe(false);
    expect(isInTrouble({ ...running, runs: [...running.runs, ...failed.runs] })).toBe(true);
    expect(isInTrouble({ ...running, runs: [] })).toBe(false);
  });

  test("names each connection once", () => expect(connectionsOf(rows)).toEqual(["mailchimp_default", "other"]));

  test("has pages, and a number that is too high leads to the last", () => {
    expect(pageOf([1, 2, 3, 4, 5], 9, 2)).toEqual({ rows: [5], page: 2, pages: 3 });
    expect(pageOf([], 3, 2)).toEqual({ rows: [], page: 0, pages: 1 });
  });
});

describe("what a run has told", () => {
  const told = (part: Partial<Report>) => ({ verdict: "success", dry_run: false, refused: false, problem: null, ...part }) as Report;
  const [preview, failed] = [told({ dry_run: true }), told({ dry_run: true, verdict: "failed" })];

  test("says in one word how it ended", () => {
    expect([preview, failed, told({ refused: true }), told({})].map(outcomeOf)).toEqual(["dry_run", "failed", "refused", "success"]);
  });

  test("is only a preview where the run failed after it, so nobody says that nothing was changed", () => {
    expect(failedAfterPreview("failed", [preview])).toBe(true);
    expect(failedAfterPreview("success", [preview])).toBe(false);
    expect(failedAfterPreview("failed", [failed])).toBe(false);
    expect(failedAfterPreview("failed", [preview, told({})])).toBe(false);
    expect(failedAfterPreview("failed", [])).toBe(false);
  });

  test("tells a preview from any other dry run, where its release says so", () => {
    const [before, alone] = [told({ dry_run: true, preview: true }), told({ dry_run: true, preview: false })];
    expect(failedAfterPreview("failed", [before])).toBe(true);
    expect(failedAfterPreview("failed", [alone])).toBe(false);
    expect([[before], [alone], [preview], [before, told({})], []].map(onlyPreviewed)).toEqual([true, false, false, false, false]);
  });

  test("allows more removals of one export, never of others beside it", () => {
    const allow = { param: "max_removal_ratio", value: 0.9 };
    const stopped = told({ problem: { kind: "removal_limit", message: "", remedy: "", allow } });
    expect(allowanceOf([stopped])).toBe(allow);
    expect(allowanceOf([stopped, told({})])).toBeUndefined();
    expect(allowanceOf([told({})])).toBeUndefined();
    expect(allowanceOf([])).toBeUndefined();
  });
});

describe("what is typed into the form", () => {
  test("is a text where only a text will do, and nothing where it was emptied", () => {
    expect(typed("123", ["null", "string"])).toBe("123");
    expect(typed("", ["null", "string"])).toBeNull();
    expect(typed("", ["string"])).toBe("");
  });

  test("is JSON otherwise, and left to Airflow to refuse where it is none", () => {
    expect(typed("0.5", ["number"])).toBe(0.5);
    expect(typed('["VIP"]', ["array"])).toEqual(["VIP"]);
    expect(typed("[", ["array"])).toBe("[");
  });
});

describe("a further run", () => {
  test("is given only what differs from the usual parameters", () =>
    expect(changed({ dry_run: true, segments: ["VIP"] }, { dry_run: false, segments: ["VIP"], full: false })).toEqual({
      dry_run: true,
    }));

  test("for real has the same parameters without the rehearsal", () =>
    expect(forReal({ dry_run: true, segments: ["VIP"] })).toEqual({ dry_run: false, segments: ["VIP"] }));
});

test("how far work is has no percentage where the whole is not known", () => {
  expect(percentDone(1, 3)).toBe(33);
  expect(percentDone(5, 3)).toBe(100);
  expect(percentDone(5, null)).toBeUndefined();
});
