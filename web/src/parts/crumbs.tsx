/** Where a page is that stands on its own, beside Airflow's tabs, and the way to these. */
import { Flex, Heading, Link } from "@chakra-ui/react";
import { Link as RouterLink } from "react-router-dom";

import { ALL, exportPath } from "./outcomes";

export function Crumbs({ dagId, runId }: { dagId: string; runId?: string }) {
  const dag = `/dags/${encodeURIComponent(dagId)}`;
  const inAirflow = runId ? `${dag}/runs/${encodeURIComponent(runId)}` : dag;
  return (
    <Flex as="header" px={4} pt={4} gap={2} wrap="wrap" align="baseline" overflowWrap="anywhere">
      <To path={ALL} words="All exports" />
      {runId && <To path={exportPath(dagId)} words={dagId} />}
      <Heading as="h1" size="md" minW={0}>
        {runId ?? dagId}
      </Heading>
      <To path={inAirflow} words={runId ? "Tasks and logs" : "The DAG"} />
    </Flex>
  );
}

/** The way back from a page that is about no DAG. */
export const Back = () => (
  <Flex as="header" px={4} pt={4}>
    <To path={ALL} words="All exports" />
  </Flex>
);

const To = ({ path, words }: { path: string; words: string }) => (
  <Link asChild textDecoration="underline">
    <RouterLink to={path}>{words}</RouterLink>
  </Link>
);
