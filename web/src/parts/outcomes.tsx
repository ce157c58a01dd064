/** How a run ended: in words, and as a strip of the last runs. */
import { Badge, Box, Flex } from "@chakra-ui/react";
import { Link } from "react-router-dom";

import type { ListedRun } from "../report";
import { moment, outcomeColour, outcomeWords } from "../words";

const part = encodeURIComponent;

export const ALL = "/plugin/mailchimp";

// Pages of their own: beside a tab, Airflow's grid takes more than half of a small screen.
export const CONNECTIONS = `${ALL}?connections`;
export const exportPath = (dagId: string) => `${ALL}?dag_id=${part(dagId)}`;
export const runPath = (dagId: string, runId: string) => `${exportPath(dagId)}&run_id=${part(runId)}`;

export const Outcome = ({ of }: { of: string }) => <Badge colorPalette={outcomeColour(of)}>{outcomeWords(of)}</Badge>;

/** The oldest on the left; each is a link to its run, and says in words what its colour means. */
export function Strip({ dagId, runs }: { dagId: string; runs: ListedRun[] }) {
  return (
    <Flex gap="2px" role="list" aria-label={`Last ${runs.length} runs`}>
      {runs.toReversed().map((run) => {
        const words = `${moment(run.at)}: ${outcomeWords(run.outcome)}`;
        return (
          <Box key={run.run_id} role="listitem">
            <Link to={runPath(dagId, run.run_id)} aria-label={words} title={words}>
              <Box w="8px" h="20px" borderRadius="2px" bg={`${outcomeColour(run.outcome)}.500`} />
            </Link>
          </Box>
        );
      })}
    </Flex>
  );
}
