import { describe, expect, test } from "vitest";

import { checkWords, consentWords, leftToWithdraw, markWords, type Consent, type Mark, type Point } from "../src/connections";

const ANN = { by: "ann", at: "2026-11-26T12:00:07+00:00" };
const BOB = { by: "bob", at: "2026-11-27T08:15:00+00:00" };
const consent = (part: Partial<Consent>): Consent => ({ given: true, agreed: null, withdrawn: null, flaws: [], ...part });

describe("consent", () => {
  test("says who agreed and when", () =>
    expect(consentWords(consent({ agreed: ANN }))).toBe("given by ann, 2026-11-26 12:00 UTC"));

  test("says that it is not known, and who withdrew it before that", () => {
    expect(consentWords(consent({}))).toBe("given, by whom and when is not known");
    expect(consentWords(consent({ withdrawn: BOB }))).toBe(
      "given, by whom and when is not known; withdrawn before that by bob, 2026-11-27 08:15 UTC",
    );
  });

  test("takes an agreement for none once the switch is off", () => {
    expect(consentWords(consent({ given: false, agreed: ANN }))).toBe("none: no profile may leave");
    expect(consentWords(consent({ given: false, withdrawn: BOB }))).toBe("withdrawn by bob, 2026-11-27 08:15 UTC");
  });
});

test("a withdrawal says where exports have another connection", () => {
  expect(leftToWithdraw({ given: false, elsewhere: null })).toBe("");
  expect(leftToWithdraw({ given: false, elsewhere: "The connection a comes from a vault" })).toBe(
    "It is withdrawn here, but exports go on. The connection a comes from a vault: withdraw it there.",
  );
});

describe("a check", () => {
  const check = (...marks: Mark[]) => ({
    at: ANN.at, by: "ann", is_outdated: false, hidden: 0,
    points: marks.map((mark): Point => ({ topic: "Key", mark, says: "", remedy: "" })),
  });

  test("is told with what is in the way first", () => {
    expect(checkWords(check("ok", "note", "stop", "stop", "unknown"))).toBe("2 in the way, 1 to know, 1 not known");
    expect(checkWords(check("ok", "ok"))).toBe("everything is in order");
  });

  test("shows a mark of a later release as it is", () => expect(markWords("loud" as Mark)).toBe("loud"));
});
