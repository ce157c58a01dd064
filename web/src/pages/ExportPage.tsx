/** The exports of one DAG: how they are, and how they have been. */
import { Box, Code, Flex, Heading, Link, Text } from "@chakra-ui/react";
import { Link as RouterLink } from "react-router-dom";

import { history, settingsOf, type TaskInstance } from "../api";
import { lastEnded, PARTS, targetOf } from "../arithmetic";
import { Section } from "../parts/details";
import { LazyChart } from "../parts/lazy-chart";
import { Shown, useLoaded } from "../parts/loading";
import { Outcome, runPath } from "../parts/outcomes";
import { ProblemBox } from "../parts/problems";
import { Left } from "../parts/left";
import { DataTable, figures, text } from "../parts/tables";
import type { ListedExport, ListedRun } from "../report";
import { duration, head, moment, number } from "../words";
import { Audience } from "./ExportsPage";

export function ExportPage({ dagId }: { dagId: string }) {
  const loaded = useLoaded(() => history(dagId), dagId, () => 30_000);
  return (
    <Box p={4} h="100%" overflowY="auto">
      <Shown loaded={loaded}>
        {({ exports }) =>
          exports.length ? (
            <>
              {exports.map((row) => (
                <OneExport key={row.export} row={row} named={exports.length > 1} />
              ))}
              <Settings dagId={dagId} newest={exports[0]?.runs[0]} />
            </>
          ) : (
            <Text role="status">
              This DAG is no export to Mailchimp: it has not published the account of a run, nor has it the tag
              “mailchimp”.
            </Text>
          )
        }
      </Shown>
    </Box>
  );
}

function OneExport({ row, named }: { row: ListedExport; named: boolean }) {
  const last = lastEnded(row.runs);
  const counted = row.runs.filter((run) => run.counts).toReversed();
  return (
    <Box mb={6}>
      {named && (
        <Heading size="lg" as="h2" mb={2}>
          {row.export}
        </Heading>
      )}
      <Flex gap={2} mb={3} wrap="wrap" align="center">
        {last ? <Outcome of={last.outcome} /> : <Text>It has not run yet.</Text>}
        <Text>
          <Audience run={targetOf(row)} /> {row.schedule}
          {row.paused && ", paused"}
        </Text>
      </Flex>
      {last?.problem && <ProblemBox problem={last.problem} />}
      {counted.length > 0 && <Charts runs={counted} />}
      {row.runs.length > 0 && <Runs row={row} />}
    </Box>
  );
}

function Charts({ runs }: { runs: ListedRun[] }) {
  const moments = runs.map((run) => moment(run.at));
  const latest = runs.at(-1)?.segments ?? [];
  const colours = PARTS.map(([, , colour]) => colour);
  const members = latest.map((segment, at) => ({
    label: segment.name,
    colour: colours[at % colours.length] ?? "gray",
    values: runs.map((run) => run.segments?.find((one) => one.name === segment.name)?.members ?? null),
  }));
  return (
    <>
      <Section title={`The last ${runs.length} runs that were accounted for`}>
        <LazyChart
          kind="bar"
          label="What became of the rows of each run; the table of the runs says the same"
          moments={moments}
          series={PARTS.map(([key, label, colour]) => ({ label, colour, values: runs.map((run) => run.counts?.[key] ?? null) }))}
        />
      </Section>
      {latest.length > 0 && (
        <Section title="Segments">
          <LazyChart kind="line" label="Members of each segment over the runs; the table has the newest" moments={moments} series={members} />
          <DataTable
            label="Segments of the newest run"
            columns={[...text("Segment"), ...figures("Rows", "Members", "Joined", "Left")]}
            rows={latest.map((one) => [one.name, ...[one.rows, one.members, one.joined, one.left].map(number)])}
          />
        </Section>
      )}
    </>
  );
}

function Runs({ row }: { row: ListedExport }) {
  return (
    <Section title="Runs">
      <DataTable
        label="Runs"
        columns={[...text("Run", "Outcome", "Took"), ...figures("Rows", ...PARTS.map(([, label]) => head(label)), "Removed")]}
        rows={row.runs.map((run) => [
          <Link asChild whiteSpace="nowrap">
            <RouterLink to={runPath(row.dag_id, run.run_id)}>{moment(run.at)}</RouterLink>
          </Link>,
          <Outcome of={run.outcome} />,
          duration(run.at, run.ended),
          ...(["rows_read", ...PARTS.map(([key]) => key), "removed"] as const).map((key) =>
            run.counts ? number(run.counts[key]) : "",
          ),
        ])}
      />
    </Section>
  );
}

const OPERATOR = "SegmentToMailchimpOperator";

/** What the newest run was asked to do, as Airflow keeps it of its tasks. */
function Settings({ dagId, newest }: { dagId: string; newest: ListedRun | undefined }) {
  if (!newest) return null;
  return <SettingsOf dagId={dagId} runId={newest.run_id} />;
}

function SettingsOf({ dagId, runId }: { dagId: string; runId: string }) {
  const loaded = useLoaded(() => settingsOf(dagId, runId, OPERATOR), `${dagId} ${runId}`);
  return (
    <Shown loaded={loaded}>
      {({ found, left }) => (
        <>
          {found.map((task) => (
            <FieldMap key={`${task.task_id} ${task.map_index}`} task={task} />
          ))}
          <Left tasks={left} />
        </>
      )}
    </Shown>
  );
}

const REMOVES: Record<string, string> = {
  untag: "Who leaves a segment loses its tag.",
  archive: "Who is in no segment any more is archived, of those whom this export has added.",
  keep: "Nobody: who leaves a segment stays as they are.",
};

function FieldMap({ task }: { task: TaskInstance }) {
  const fields = parsed(task.rendered_fields?.field_map);
  const leave = String(task.rendered_fields?.on_leave ?? "");
  return (
    <>
      {fields && (
        <Section title="Fields">
          <DataTable
            label="Which column fills which merge field"
            columns={text("Merge field", "Column")}
            rows={Object.entries(fields).map(([field, column]) => [
              <Code>{field}</Code>,
              typeof column === "string" ? column : JSON.stringify(column),
            ])}
          />
        </Section>
      )}
      {leave && (
        <Section title="What it may remove">
          <Text>{REMOVES[leave] ?? leave}</Text>
        </Section>
      )}
    </>
  );
}

/** A field map may be a template that gives JSON; of what is neither, nothing is shown. */
function parsed(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== "string") return (value as Record<string, unknown> | null) ?? undefined;
  try {
    return parsed(JSON.parse(value));
  } catch {
    return undefined;
  }
}
