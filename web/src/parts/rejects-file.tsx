/** The file that says who was rejected: to be downloaded by those who may, and where it is for everybody else. */
import { Button, Code, Text } from "@chakra-ui/react";

import { rejectsFile, rejectsOf } from "../api";
import type { Report } from "../report";
import { Shown, useLoaded } from "./loading";

type Props = { dagId: string; runId: string; report: Report };

export function RejectsFile({ dagId, runId, report }: Props) {
  const loaded = useLoaded(() => rejectsOf(dagId, runId), `${dagId} ${runId}`);
  return (
    <Shown loaded={loaded}>
      {({ may_download, here }) =>
        here.includes(report.export) ? (
          <Button asChild size="sm" variant="outline" mt={2}>
            <a href={rejectsFile(dagId, runId, report.export)} download>
              Download rejects.csv
            </a>
          </Button>
        ) : (
          <Text mt={2} overflowWrap="anywhere">
            Who they are says <Code>rejects.csv</Code> {report.run_uri ? <>in <Code>{report.run_uri}</Code></> : "in the folder of the run"}
            {may_download && "; the API server does not reach that file, or it is there no more"}.
          </Text>
        )
      }
    </Shown>
  );
}
