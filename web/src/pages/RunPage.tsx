/** One run: what it came to, or how far it is. */
import { Box, Code, Flex, Heading, Text } from "@chakra-ui/react";

import { dagRun, progress, reports, rights, tasks, type DagRun, type Progress, type Rights, type TaskInstance } from "../api";
import { failedAfterPreview, isAtWork, onlyPreviewed, outcomeOf, percentDone } from "../arithmetic";
import { LeftOut, Rejects, Segments, Suppressed, Versions, Warnings } from "../parts/details";
import { Shown, useLoaded } from "../parts/loading";
import { Outcome } from "../parts/outcomes";
import { Left } from "../parts/left";
import { Banner, ProblemBox } from "../parts/problems";
import { RejectsFile } from "../parts/rejects-file";
import { RunActions } from "../parts/run-actions";
import { Sum } from "../parts/sum";
import type { Report } from "../report";
import { duration, moment, number } from "../words";
import { Audience } from "./ExportsPage";

const EVERY = 3_000;
/** How long, in milliseconds, a task that was ended may take to tell of it. */
const LAST_WORDS = 60_000;

type All = { left: { tasks: number; reports: number }; run: DagRun; tasks: TaskInstance[]; told: Report[]; newer: boolean; rights: Rights; progress: (Progress | undefined)[] };

async function load(dagId: string, runId: string): Promise<All> {
  const [run, { found: of, left }, may] = await Promise.all([dagRun(dagId, runId), tasks(dagId, runId), rights(dagId)]);
  const working = isAtWork(run.state);
  const busy = of.filter((task) => task.state === "running" || task.state === "deferred");
  const told = working ? { found: [], left: 0, newer: false } : await reports(dagId, runId);
  return {
    left: { tasks: working ? left : 0, reports: told.left },
    run,
    tasks: of,
    rights: may,
    told: told.found,
    newer: told.newer,
    progress: working ? await Promise.all(busy.map((task) => progress(dagId, runId, task))) : [],
  };
}

export function RunPage({ dagId, runId }: { dagId: string; runId: string }) {
  const loaded = useLoaded(
    () => load(dagId, runId),
    `${dagId} ${runId}`,
    (all) => (isAtWork(all.run.state) || mayStillTell(all) ? EVERY : undefined),
  );
  return (
    <Box p={4} h="100%" overflowY="auto">
      <Shown loaded={loaded}>
        {(all) => (
          <>
            {isAtWork(all.run.state) ? <AtWork all={all} /> : <Ended state={all.run.state} told={all.told} newer={all.newer} />}
            <Facts run={all.run} />
            <Left {...all.left} />
            {all.rights.may_run && <RunActions dagId={dagId} runId={runId} run={all.run} told={all.told} reload={loaded.reload} />}
            {all.told.map((report) => (
              <Account key={report.export} dagId={dagId} runId={runId} report={report} named={all.told.length > 1} />
            ))}
          </>
        )}
      </Shown>
    </Box>
  );
}

/** Whoever cancels a run sees it ended at once, and a moment later what it came to. */
const mayStillTell = ({ run, told }: All) =>
  told.length === 0 && run.end_date !== null && Date.now() - Date.parse(run.end_date) < LAST_WORDS;

function Ended({ state, told, newer }: { state: string; told: Report[]; newer: boolean }) {
  if (told.length === 0 && newer)
    return (
      <Text role="status" mb={3}>
        The account of this run is of a newer release of airflow-mailchimp-export than the one that this API server has:
        update it there, too.
      </Text>
    );
  if (told.length === 0)
    return (
      <Text role="status" mb={3}>
        No task of this run has published an account: it is no run of an export, it is older than the release that does
        so, or its worker was gone before it could. The log of its tasks says more.
      </Text>
    );
  if (failedAfterPreview(state, told))
    return (
      <Banner colour="red">
        FAILED. Below is only what the preview said would be done; the log of the tasks says whether anything was sent.
      </Banner>
    );
  if (told.every((report) => report.refused)) return <Banner colour="red">NOTHING WAS SENT</Banner>;
  if (onlyPreviewed(told)) return <Banner colour="purple">NOTHING WAS SENT: below is what the preview said would be done</Banner>;
  if (told.every((report) => report.dry_run)) return <Banner colour="purple">DRY RUN: nothing was changed in Mailchimp</Banner>;
  return null;
}

function AtWork({ all }: { all: All }) {
  const known = all.progress.filter((one) => one !== undefined);
  return (
    <Box mb={3} role="status">
      <Text fontWeight="bold">{all.run.state === "queued" ? "Waits for its turn" : "At work"}</Text>
      {known.map((one, task) => (
        <Far key={task} progress={one} />
      ))}
      {known.length === 0 && (
        <Text>
          {all.tasks.map((task) => `${task.task_id}: ${task.state ?? "not yet"}`).join(", ")}. How far a task is can be
          seen from Airflow 3.3 on, once it has told.
        </Text>
      )}
    </Box>
  );
}

function Far({ progress: { phase, unit, done, total } }: { progress: Progress }) {
  const percent = percentDone(done, total);
  const words = `${phase}: ${number(done)}${total ? ` of ${number(total)}` : ""} ${unit}`;
  return (
    <Box>
      <Text>{words}</Text>
      <Box role="progressbar" aria-label={words} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent} borderWidth={1} borderRadius="md" h="14px">
        <Box h="100%" bg="blue.500" w={`${percent ?? 0}%`} />
      </Box>
    </Box>
  );
}

function Facts({ run }: { run: DagRun }) {
  const who = run.triggering_user_name ? `by ${run.triggering_user_name}` : run.run_type.replaceAll("_", " ");
  const conf = Object.keys(run.conf ?? {}).length > 0 && JSON.stringify(run.conf);
  return (
    <Text mb={3} overflowWrap="anywhere">
      Started {run.start_date ? moment(run.start_date) : "not yet"}, {who}
      {run.end_date && `, took ${duration(run.start_date, run.end_date)}`}
      {conf ? (
        <>
          , with <Code>{conf}</Code>
        </>
      ) : (
        ", with the usual parameters"
      )}
      .
    </Text>
  );
}

type Told = { dagId: string; runId: string; report: Report; named: boolean };

function Account({ dagId, runId, report, named }: Told) {
  return (
    <Box>
      <Flex gap={2} align="center" mb={2} wrap="wrap">
        {named && (
          <Heading size="md" as="h2">
            {report.export}
          </Heading>
        )}
        <Outcome of={outcomeOf(report)} />
        <Text>
          <Audience run={report} /> {report.connection_id && `over ${report.connection_id}`}
          {report.delivery && `, ${report.delivery}`}
          {report.full && ", everybody"}
          {report.withdraw && ", takes back all that the export gave"}
          {report.export_user && `, answered for by ${report.export_user}`}
        </Text>
      </Flex>
      {report.problem && <ProblemBox problem={report.problem} />}
      {report.counts && <Sum counts={report.counts} dryRun={report.dry_run} />}
      <Box mt={5}>
        <Rejects report={report}>
          <RejectsFile dagId={dagId} runId={runId} report={report} />
        </Rejects>
        <Suppressed report={report} />
        <Segments report={report} />
        <Warnings report={report} />
        <Versions report={report} />
      </Box>
      {report.batch_ids.length > 0 && <Text>Batches: {report.batch_ids.join(", ")}</Text>}
      <LeftOut report={report} of="batch_ids" words="batches" />
    </Box>
  );
}
