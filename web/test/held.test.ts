import { expect, test } from "vitest";

import { afterFailure } from "../src/held";

const BEFORE = { data: ["a"], at: 5 };
const refused = (status: number) => Object.assign(new Error("no"), { status });

test("what was loaded stays while the server cannot say more", () => {
  for (const error of [new TypeError("Failed to fetch"), refused(500), refused(429), "odd"])
    expect(afterFailure(BEFORE, error)).toEqual({ ...BEFORE, error });
});

test("what may be seen no more is not shown any more", () => {
  for (const status of [401, 403, 404]) expect(afterFailure(BEFORE, refused(status))).toEqual({ error: refused(status) });
});

test("where nothing was loaded, there is only the error", () => expect(afterFailure({}, refused(500))).toEqual({ error: refused(500) }));
