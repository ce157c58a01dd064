/** All exports, a row for each. */
import { Badge, Box, Button, Flex, Heading, Input, Link, Text } from "@chakra-ui/react";
import { useState } from "react";
import { Link as RouterLink } from "react-router-dom";

import { listing, setPaused } from "../api";
import { connectionsOf, filtered, pageOf, targetOf, type Filters } from "../arithmetic";
import { Shown, Trouble, useLoaded } from "../parts/loading";
import { CONNECTIONS, exportPath, Outcome, runPath, Strip } from "../parts/outcomes";
import { RunDialog, Select, Tick } from "../parts/running";
import { DataTable, figures, text } from "../parts/tables";
import type { Counts, ListedExport, ListedRun } from "../report";
import { duration, moment, number, webAddress } from "../words";

const SIZE = 25;
const EVERYTHING: Filters = { text: "", connection: "", trouble: false };
const STRIP = 14;

export function ExportsPage() {
  const loaded = useLoaded(listing, "all", () => 30_000);
  return (
    <Box p={4} h="100%" overflowY="auto">
      <Flex gap={3} mb={3} wrap="wrap" align="baseline">
        <Heading size="lg" as="h1">
          Mailchimp exports
        </Heading>
        {loaded.data?.may_connections && (
          <Link asChild textDecoration="underline">
            <RouterLink to={CONNECTIONS}>Connections</RouterLink>
          </Link>
        )}
      </Flex>
      <Shown loaded={loaded}>
        {({ exports }) => (exports.length ? <Exports rows={exports} reload={loaded.reload} /> : <Empty />)}
      </Shown>
    </Box>
  );
}

const Empty = () => (
  <Text role="status">
    There is no export yet that you may see. One appears here once its DAG has the tag “mailchimp”, or has run.
  </Text>
);

function Exports({ rows, reload }: { rows: ListedExport[]; reload: () => void }) {
  const [filters, setFilters] = useState(EVERYTHING);
  const [wanted, setWanted] = useState(0);
  const found = filtered(rows, filters);
  const { rows: shown, page, pages } = pageOf(found, wanted, SIZE);
  const change = (part: Partial<Filters>) => {
    setFilters((before) => ({ ...before, ...part }));
    setWanted(0);
  };
  const connections = connectionsOf(rows);
  return (
    <>
      <Flex gap={3} mb={3} wrap="wrap" align="center" role="search">
        <Input
          size="sm"
          maxW="260px"
          aria-label="Search exports"
          placeholder="Search exports"
          value={filters.text}
          onChange={(event) => change({ text: event.target.value })}
        />
        <Select label="Connection" value={filters.connection} onChange={(connection) => change({ connection })}>
          {[["", "All connections"], ...connections.map((id): [string, string] => [id, id])]}
        </Select>
        <Tick label="Only trouble" on={filters.trouble} onChange={(trouble) => change({ trouble })} />
        <Text role="status" fontSize="sm">
          {found.length === rows.length ? number(rows.length) : `${number(found.length)} of ${number(rows.length)}`}{" "}
          {rows.length === 1 ? "export" : "exports"}
        </Text>
      </Flex>
      {found.length === 0 ? (
        <Text>No export is like that.</Text>
      ) : (
        <DataTable
          label="Mailchimp exports"
          columns={[
            // What a narrow screen shows without scrolling comes first.
            ...text("Export", `Last run, and the last ${STRIP}`),
            ...figures("Created", "Updated", "Removed", "Rejected", "Suppressed"),
            ...text("Audience", "Actions"),
          ]}
          rows={shown.map((row) => cells(row, reload))}
        />
      )}
      {pages > 1 && (
        <Flex gap={2} mt={3} align="center" as="nav" aria-label="Pages">
          <Button size="sm" variant="outline" disabled={page === 0} onClick={() => setWanted(page - 1)}>
            Back
          </Button>
          <Text>
            Page {page + 1} of {pages}
          </Text>
          <Button size="sm" variant="outline" disabled={page === pages - 1} onClick={() => setWanted(page + 1)}>
            Next
          </Button>
        </Flex>
      )}
    </>
  );
}

function cells(row: ListedExport, reload: () => void) {
  const target = targetOf(row);
  const last = row.runs[0];
  return [
    <Name row={row} />,
    last ? <Last dagId={row.dag_id} run={last} runs={row.runs} /> : "has not run yet",
    ...(["created", "updated", "removed"] as const).map((key) => count(last, key)),
    last?.counts ? <Rejected all={last.counts.rejected} fresh={last.rejects_new} /> : "",
    count(last, "suppressed"),
    <Box minW="110px" overflowWrap="anywhere">
      <Audience run={target} />
      <Text fontSize="sm">{target?.connection_id}</Text>
    </Box>,
    <Actions key={`${row.dag_id} ${row.export}`} row={row} reload={reload} />,
  ];
}

const count = (run: ListedRun | undefined, key: keyof Counts) => (run?.counts ? number(run.counts[key]) : "");

const Rejected = ({ all, fresh }: { all: number; fresh?: number }) => (
  <>
    {number(all)}
    {fresh ? <Text fontSize="sm">(+{number(fresh)} new)</Text> : null}
  </>
);

function Name({ row }: { row: ListedExport }) {
  const task = row.export && row.export !== row.dag_id && row.export !== `${row.dag_id}.export`;
  return (
    <Box minW={{ base: "110px", md: "140px" }} maxW={{ base: "130px", md: "280px" }} overflowWrap="anywhere">
      <Link asChild fontWeight="bold" display="inline">
        <RouterLink to={exportPath(row.dag_id)}>{row.name}</RouterLink>
      </Link>{" "}
      {row.paused && <Badge>paused</Badge>}
      {task && <Text fontSize="sm">{row.export}</Text>}
      <Text fontSize="sm">{row.schedule}</Text>
    </Box>
  );
}

export function Audience({ run }: { run: Pick<ListedRun, "audience"> | undefined }) {
  const audience = run?.audience;
  if (!audience) return null;
  const words = audience.name || audience.id;
  const page = webAddress(audience.page);
  return page ? (
    <Link href={page} target="_blank" rel="noopener noreferrer" textDecoration="underline">
      {words}
    </Link>
  ) : (
    words
  );
}

function Last({ dagId, run, runs }: { dagId: string; run: ListedRun; runs: ListedRun[] }) {
  return (
    <Box whiteSpace="nowrap">
      <Outcome of={run.outcome} /> {run.dry_run && run.outcome !== "dry_run" && "(dry run)"}
      <Link asChild display="block" fontSize="sm">
        <RouterLink to={runPath(dagId, run.run_id)}>
          {moment(run.at)}
          {run.ended && `, ${duration(run.at, run.ended)}`}
        </RouterLink>
      </Link>
      <Strip dagId={dagId} runs={runs} />
    </Box>
  );
}

function Actions({ row, reload }: { row: ListedExport; reload: () => void }) {
  const [open, setOpen] = useState<"run" | "dry">();
  const [error, setError] = useState<unknown>();
  const pause = () => {
    setError(undefined);
    setPaused(row.dag_id, !row.paused).then(reload, setError);
  };
  if (!row.may_run && !row.may_pause) return null;
  return (
    <Flex gap={1} wrap="wrap" w="130px">
      {row.may_run && (
        <>
          <Button size="xs" variant="outline" aria-label={`Run ${row.name}`} onClick={() => setOpen("run")}>
            Run
          </Button>
          <Button size="xs" variant="outline" aria-label={`Dry run of ${row.name}`} onClick={() => setOpen("dry")}>
            Dry run
          </Button>
        </>
      )}
      {row.may_pause && (
        <Button size="xs" variant="outline" aria-label={`${row.paused ? "Switch on" : "Pause"} ${row.name}`} onClick={pause}>
          {row.paused ? "Switch on" : "Pause"}
        </Button>
      )}
      {open && (
        <RunDialog dagId={row.dag_id} name={row.name} paused={row.paused} dryRun={open === "dry"} onClose={() => setOpen(undefined)} />
      )}
      {error !== undefined && <Trouble error={error} />}
    </Flex>
  );
}
