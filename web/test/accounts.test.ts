import { describe, expect, test } from "vitest";

import { accountsIn, isNewer } from "../src/api";

const account = (schema: unknown) => ({ schema, export: "news.export", verdict: "success" });

describe("what tasks have published", () => {
  test("is read as it is, as a text, or as a list of several", () => {
    for (const value of [account(1), JSON.stringify(account(1)), [account(1), "foreign", null, 7]])
      expect(accountsIn(value).map((one) => one.export)).toEqual(["news.export"]);
    for (const value of [null, 7, "no JSON", [], account(2)]) expect(accountsIn(value)).toEqual([]);
  });

  test("may be of a newer release, which is no reason to call it older", () => {
    for (const value of [account(2), JSON.stringify(account(2)), [account(1), account(3)]]) expect(isNewer(value)).toBe(true);
    for (const value of [account(1), account(0), account("2"), account(undefined), null, 7, "no JSON", "7", [null]])
      expect(isNewer(value)).toBe(false);
  });
});
