/** Puts the pages where Airflow's UI looks for them: under the name that plugin.py tells it. */
import { Flex } from "@chakra-ui/react";
import { useParams, useSearchParams } from "react-router-dom";

import { Provider } from "./host/chakra";
import { ConnectionsPage } from "./pages/ConnectionsPage";
import { ExportPage } from "./pages/ExportPage";
import { ExportsPage } from "./pages/ExportsPage";
import { RunPage } from "./pages/RunPage";
import { Back, Crumbs } from "./parts/crumbs";

type Place = { dagId?: string; runId?: string };

/** Which page it is says the place: that of a tab, which Airflow tells, before 3.3 by the router only; or the address. */
function Mailchimp(given: Place) {
  const route = useParams();
  const [asked] = useSearchParams();
  const tab: Place = { dagId: given.dagId ?? route.dagId, runId: given.runId ?? route.runId };
  const place: Place = { dagId: asked.get("dag_id") ?? undefined, runId: asked.get("run_id") ?? undefined };
  return (
    <Provider>
      <Flex direction="column" h="100%" data-mailchimp="">
        {tab.dagId ? <Page {...tab} /> : <Page {...place} crumbs />}
      </Flex>
    </Provider>
  );
}

function Page({ dagId, runId, crumbs = false }: Place & { crumbs?: boolean }) {
  if (!dagId) return <OfNoDag />;
  return (
    <>
      {crumbs && <Crumbs dagId={dagId} runId={runId} />}
      {runId ? <RunPage dagId={dagId} runId={runId} /> : <ExportPage dagId={dagId} />}
    </>
  );
}

function OfNoDag() {
  const [asked] = useSearchParams();
  if (!asked.has("connections")) return <ExportsPage />;
  return (
    <>
      <Back />
      <ConnectionsPage />
    </>
  );
}

Object.assign(globalThis, { Mailchimp });
