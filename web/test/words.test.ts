import { expect, test } from "vitest";

import { accountsIn, newestOfEach } from "../src/api";
import type { Report } from "../src/report";
import { duration, moment, outcomeWords, webAddress } from "../src/words";

test("durations are as long as they have to be", () => {
  const from = "2026-11-22T03:00:00+00:00";
  expect(duration(from, "2026-11-22T03:00:07+00:00")).toBe("7 s");
  expect(duration(from, "2026-11-22T03:02:05+00:00")).toBe("2 min 5 s");
  expect(duration(from, "2026-11-22T05:02:05+00:00")).toBe("2 h 2 min");
  expect(duration(from, null)).toBe("");
});

test("moments are in UTC", () => expect(moment("2026-11-22T05:12:25+02:00")).toBe("2026-11-22 03:12 UTC"));

test("what is no moment is shown as it is", () => {
  expect(moment("soon")).toBe("soon");
  expect(moment("")).toBe("");
});

test("an outcome that this release does not know is shown as it is", () => expect(outcomeWords("upside_down")).toBe("upside_down"));

test("a link leads to a web page or nowhere", () => {
  expect(webAddress("https://us1.admin.mailchimp.com/")).toBe("https://us1.admin.mailchimp.com/");
  expect(webAddress("javascript:alert(1)")).toBeUndefined();
  expect(webAddress("")).toBeUndefined();
});

test("accounts come alone, in lists and as texts; what is none is left out", () => {
  const account = { schema: 1, export: "a" };
  expect(accountsIn(account)).toMatchObject([account]);
  expect(accountsIn([account, { schema: 2 }, null])).toMatchObject([account]);
  expect(accountsIn(JSON.stringify([account]))).toMatchObject([account]);
  expect(accountsIn("s3://bucket/xcom/1")).toEqual([]);
});

test("an account of a release with fewer keys can be shown", () => {
  const [told] = accountsIn({ schema: 1, export: "a", verdict: "success", counts: { rows_read: 2, created: 2 } });
  expect(told).toMatchObject({ export: "a", verdict: "success", warnings: [], truncated: {}, problem: null });
  expect(told?.counts).toMatchObject({ rows_read: 2, created: 2, not_sent: 0, removed: 0 });
  expect(accountsIn({ schema: 1 })[0]?.counts).toBeNull();
});

test("of two tasks that told of an export the later counts", () => {
  const told = (exported: string, finished_at: string) => ({ export: exported, finished_at }) as Report;
  const found = [told("a", "2026-01-02"), told("a", "2026-01-01"), told("b", "2026-01-01")];
  expect(newestOfEach(found)).toEqual([found[0], found[2]]);
  const nameless = told("", "2026-01-03");
  expect(newestOfEach([...found, nameless])).toEqual([found[0], found[2]]);
  expect(newestOfEach([nameless])).toEqual([nameless]);
});
