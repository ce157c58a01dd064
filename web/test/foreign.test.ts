import { expect, test } from "vitest";

import { isAccount } from "../src/foreign";

const TOLD = { schema: 1, export: "news.export", verdict: "partial", counts: { created: 3 }, problem: null };

test("an account may lack keys, and may have others", () => {
  expect(isAccount(TOLD)).toBe(true);
  expect(isAccount({ schema: 1 })).toBe(true);
  expect(isAccount({ ...TOLD, of_a_later_release: [1], rejects_by_reason: { new_reason: 2 } })).toBe(true);
});

test("what a page could not show is none", () => {
  const wrong = [
    { schema: true }, { schema: 2 }, { export: ["news"] }, { audience: { name: { first: "x" } } }, { counts: "lots" }, { counts: { created: "3" } },
    { segments: { VIP: 3 } }, { segments: [{ name: 3 }] }, { connection_id: 7 }, { problem: "it failed" }, { warnings: null }, { versions: { airflow: 3 } },
    { problem: { allow: { removals: [1] } } },
  ];
  for (const part of wrong) expect([part, isAccount({ ...TOLD, ...part })]).toEqual([part, false]);
  for (const value of [null, 1, "two", [TOLD]]) expect(isAccount(value)).toBe(false);
});
