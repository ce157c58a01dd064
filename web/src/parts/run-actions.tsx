/** What can be done next with a run, by how it ended. */
import { Flex, Text } from "@chakra-ui/react";
import { useNavigate } from "react-router-dom";

import { cancel, params, trigger, tryAgain, type DagRun } from "../api";
import { allowanceOf, forReal, isAtWork, type Values } from "../arithmetic";
import type { Allowance, Removal, Report } from "../report";
import { number } from "../words";
import { AskingButton } from "./asking";
import { runPath } from "./outcomes";
import { DataTable, figures, text } from "./tables";

type Props = { dagId: string; runId: string; run: DagRun; told: Report[]; reload: () => void };

export function RunActions({ dagId, runId, run, told, reload }: Props) {
  const go = useNavigate();
  const conf = run.conf ?? {};
  const start = async (values: Values) => go(runPath(dagId, (await trigger(dagId, values)).dag_run_id));
  const rehearsed = conf.dry_run === true && told.length > 0 && told.every((one) => one.dry_run && one.verdict !== "failed");
  const withdraws = told.some((one) => one.withdraw);
  const allow = allowanceOf(told);
  const startAllowing = async ({ param, value }: Allowance) => {
    if (!(param in (await params(dagId)))) throw new Error(`The DAG has no parameter ${param}, so it cannot be set for one run.`);
    await start({ ...conf, [param]: value });
  };
  return (
    <Flex gap={2} mb={4} wrap="wrap" aria-label="What can be done" role="group">
      {isAtWork(run.state) && (
        <AskingButton label="Cancel" title="Cancel this run?" confirm="Cancel the run" danger act={() => cancel(dagId, runId).then(reload)}>
          <Text>What Mailchimp has taken stays. The next run sends whom nobody confirmed.</Text>
        </AskingButton>
      )}
      {rehearsed && (
        <AskingButton
          label="Run for real"
          title="Run for real?"
          confirm="Start the run"
          danger={withdraws}
          act={() => start(forReal(conf))}
        >
          <Text>
            A new run starts with the same parameters, without the dry run.{" "}
            {withdraws ? "It takes back all that the export gave." : "It exports what the segments hold by then."}
          </Text>
        </AskingButton>
      )}
      {allow && <Allow allow={allow} words={told[0]?.problem?.message} act={() => startAllowing(allow)} />}
      {run.state === "failed" && (
        <AskingButton label="Try again" title="Try this run again?" confirm="Try again" act={() => tryAgain(dagId, runId).then(reload)}>
          <Text>The tasks that failed run once more, with the parameters of this run.</Text>
        </AskingButton>
      )}
    </Flex>
  );
}

/** Asks back, segment by segment. */
function Allow({ allow, words, act }: { allow: Allowance; words?: string; act: () => Promise<void> }) {
  const [inAll, ...tags] = allow.removals ?? [];
  return (
    <AskingButton
      label={inAll ? `Allow ${number(inAll.removed)} removals once` : "Allow these removals once"}
      title="Have all of these people really left?"
      confirm="Allow once, and run"
      danger
      act={act}
    >
      {inAll ? <Removals inAll={inAll} tags={tags} /> : <Text>{words}</Text>}
      <Text mt={2}>
        A new run starts with {allow.param} = {allow.value}; the limit holds again from the run after it.
      </Text>
    </AskingButton>
  );
}

function Removals({ inAll, tags }: { inAll: Removal; tags: Removal[] }) {
  const rows = [...tags, inAll].map(({ tag, removed, owned }) => [
    tag || "In all, each person once",
    number(removed),
    number(owned),
    owned ? `${Math.round((100 * removed) / owned)} %` : "",
  ]);
  return (
    <DataTable label="Who would be removed" columns={[...text("Tag"), ...figures("Would lose it", "Have it", "Share")]} rows={rows} />
  );
}
