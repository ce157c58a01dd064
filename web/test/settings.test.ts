import { afterEach, expect, test, vi } from "vitest";

import { settingsOf } from "../src/api";

const OPERATOR = "SegmentToMailchimpOperator";
const task = (task_id: string, rest = {}) => ({ task_id, map_index: -1, state: "success", operator_name: OPERATOR, ...rest });
const filled = { rendered_fields: { on_leave: "untag" } };

/** Answer by the last parts of the address; of what is not here, fail. */
function answer(by: Record<string, unknown>) {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: URL) => {
    const path = url.pathname.split("/taskInstances")[1] ?? "";
    asked.push(path);
    return path in by ? Response.json(by[path]) : new Response(null, { status: 404 });
  });
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

test("what the list says of a task is not asked again, and no other operator's", async () => {
  const other = task("report", { operator_name: "Other" });
  const asked = answer({ "": { task_instances: [task("export", filled), other], total_entries: 102 } });
  expect(await settingsOf("news", "run", OPERATOR)).toEqual({ found: [task("export", filled)], left: 100 });
  expect(asked).toEqual([""]);
});

test("what the list leaves out, as before Airflow 3.3, is asked of each task", async () => {
  const listed = [task("a b", { rendered_fields: {} }), task("mapped", { map_index: 2 })];
  const known = listed.map((one) => ({ ...one, ...filled }));
  const asked = answer({ "": { task_instances: listed }, "/a%20b": known[0], "/mapped/2": known[1] });
  expect((await settingsOf("news", "run", OPERATOR)).found).toEqual(known);
  expect(asked).toEqual(["", "/a%20b", "/mapped/2"]);
});
