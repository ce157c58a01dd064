/** The Mailchimp connections: where each leads, who agreed to the transfer, and what a check has found. */
import { Badge, Box, Button, Flex, Heading, Text } from "@chakra-ui/react";
import { useState, type ReactNode } from "react";

import {
  check, checkWords, connections, consentWords, markColour, markWords, type Check, type Connection, type Connections,
} from "../connections";
import { signInPage } from "../api";
import { Agree, ChooseAudience, Withdraw } from "../parts/connection-actions";
import { Shown, Trouble, useLoaded } from "../parts/loading";
import { ProblemBox } from "../parts/problems";
import { DataTable, text } from "../parts/tables";
import { moment } from "../words";

export function ConnectionsPage() {
  const loaded = useLoaded(connections, "connections");
  return (
    <Box p={4} h="100%" overflowY="auto">
      <Heading size="lg" as="h1" mb={3}>
        Mailchimp connections
      </Heading>
      <Shown loaded={loaded}>
        {(found) =>
          found.connections.length ? (
            found.connections.map((one) => <One key={one.connection_id} one={one} of={found} reload={loaded.reload} />)
          ) : (
            <Text role="status">
              There is no Mailchimp connection in Airflow’s database that you may see. Add one under Admin, Connections; one
              in an environment variable or a secrets backend is not listed, as Airflow lists none of these either.
            </Text>
          )
        }
      </Shown>
    </Box>
  );
}

type OneProps = { one: Connection; of: Connections; reload: () => void };

function One({ one, of, reload }: OneProps) {
  return (
    <Box as="section" aria-label={one.connection_id} mb={5} p={3} borderWidth={1} borderRadius="md" overflowWrap="anywhere">
      <Heading size="md" as="h2">
        {one.connection_id}
      </Heading>
      {one.description && <Text mb={2}>{one.description}</Text>}
      {one.problem && <ProblemBox problem={one.problem} />}
      <Facts one={one} />
      <Actions one={one} of={of} reload={reload} />
      {one.check && <LastCheck check={one.check} id={one.connection_id} />}
    </Box>
  );
}

function Facts({ one }: { one: Connection }) {
  const facts: [string, ReactNode][] = [
    ["Data center", one.data_center],
    ["Default audience", one.audience_id || "none: each export names its own"],
    ["Consent", one.consent && <Consent of={one.consent} />],
    ["Responsible", one.responsible || "nobody is named"],
    ["Last check", one.check ? `${moment(one.check.at)}, by ${one.check.by}: ${checkWords(one.check)}` : "never"],
  ];
  const known = one.problem ? facts.slice(-1) : facts;
  return (
    <Box as="dl" mb={3}>
      {known.map(([name, value]) => (
        <Flex key={name} columnGap={2} wrap="wrap">
          <Text as="dt" fontWeight="bold" minW="150px">
            {name}
          </Text>
          <Box as="dd" m={0} minW={0}>
            {value || "not known"}
          </Box>
        </Flex>
      ))}
    </Box>
  );
}

const Consent = ({ of }: { of: NonNullable<Connection["consent"]> }) => (
  <>
    {consentWords(of)}
    {of.flaws.map((flaw) => (
      <Text key={flaw}>{flaw}, so it is no evidence.</Text>
    ))}
  </>
);

function Actions({ one, of, reload }: OneProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = () => {
    setBusy(true);
    setError(undefined);
    check(one.connection_id)
      .then(reload, setError)
      .finally(() => setBusy(false));
  };
  const mayAsk = of.tests_enabled && (one.may_check || one.may_edit);
  if (!one.may_check && !one.may_edit) return null;
  return (
    <>
      <Flex gap={2} mb={3} wrap="wrap" role="group" aria-label={`What can be done with ${one.connection_id}`}>
        {one.may_check && of.tests_enabled && (
          <Button size="sm" variant="outline" disabled={busy} onClick={run}>
            {busy ? "Checking" : "Check"}
          </Button>
        )}
        {one.may_edit && of.tests_enabled && !one.problem && <ChooseAudience one={one} reload={reload} />}
        {one.may_edit && (
          <Button asChild size="sm" variant="outline">
            <a href={signInPage(one.connection_id)}>Sign in to Mailchimp</a>
          </Button>
        )}
        {one.may_edit && (one.consent?.given ?? true) && <Withdraw one={one} reload={reload} />}
        {one.may_edit && one.consent && !(one.consent.given && one.consent.agreed) && (
          <Agree one={one} agreement={of.agreement} reload={reload} />
        )}
      </Flex>
      {!mayAsk && (
        <Text mb={3}>
          Airflow’s configuration does not let its API server try connections out ([core] test_connection is not Enabled), so
          there is no check and no list of audiences here.
        </Text>
      )}
      {error !== undefined && <Trouble error={error} />}
    </>
  );
}

function LastCheck({ check, id }: { check: Check; id: string }) {
  return (
    <Box>
      {check.is_outdated && (
        <Text role="status" mb={2} fontWeight="bold">
          The connection was saved since this check: check it again.
        </Text>
      )}
      <DataTable
        label={`Last check of ${id}`}
        columns={text("About", "How it is", "What was found", "What to do")}
        rows={check.points.map((point) => [
          <Text whiteSpace="nowrap">{point.topic}</Text>,
          <Badge colorPalette={markColour(point.mark)}>{markWords(point.mark)}</Badge>,
          <Text minW="180px">{point.says}</Text>,
          <Text minW={point.remedy ? "180px" : 0}>{point.remedy}</Text>,
        ])}
      />
      {check.hidden > 0 && <Text mt={1}>{check.hidden} more are about exports that you may not see.</Text>}
    </Box>
  );
}
