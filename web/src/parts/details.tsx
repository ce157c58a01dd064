/** The lists of a report: rejects, suppressed people, segments, warnings. */
import { Box, Code, Heading, Text } from "@chakra-ui/react";
import type { ReactNode } from "react";

import type { Report } from "../report";
import { number, plain } from "../words";
import { DataTable, figures, text } from "./tables";

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Box as="section" mb={5}>
      <Heading size="md" as="h2" mb={2}>
        {title}
      </Heading>
      {children}
    </Box>
  );
}

/** What was left out of a list of the account, for the size's sake. */
export function LeftOut({ report, of, words }: { report: Report; of: string; words: string }) {
  const left = report.truncated[of];
  return left ? <Text mt={1}>{`${number(left)} more ${words} are not shown here; report.json in the folder of the run has them.`}</Text> : null;
}

export function Rejects({ report, children }: { report: Report; children?: ReactNode }) {
  const reasons = Object.entries(report.rejects_by_reason);
  if (reasons.length === 0) return null;
  return (
    <Section title="Rejected">
      <DataTable
        label="Rejects by reason"
        columns={[...text("Reason"), ...figures("Rows"), ...text("What to do", "For example")]}
        rows={reasons.map(([reason, count]) => {
          const samples = report.sample_rejects.filter((sample) => sample.reason === reason);
          return [
            plain(reason),
            number(count),
            samples[0]?.remedy ?? "",
            samples.slice(0, 3).map((sample) => (
              <Text key={`${sample.source} ${sample.field}`} overflowWrap="anywhere">
                {sample.source} {sample.field && `(${sample.field})`} {sample.mailchimp_says}
              </Text>
            )),
          ];
        })}
      />
      <LeftOut report={report} of="sample_rejects" words="examples" />
      {report.rejects_new > 0 && <Text mt={1}>{number(report.rejects_new)} of them are new.</Text>}
      {children}
    </Section>
  );
}

export function Suppressed({ report }: { report: Report }) {
  const reasons = Object.entries(report.suppressed_by_reason);
  if (reasons.length === 0) return null;
  return (
    <Section title="Suppressed">
      <DataTable
        label="Suppressed by reason"
        columns={[...text("Reason"), ...figures("People")]}
        rows={reasons.map(([reason, count]) => [plain(reason), number(count)])}
      />
      {report.look_up && <Text mt={1}>How it was found out who may not be sent: {report.look_up}.</Text>}
    </Section>
  );
}

export function Segments({ report }: { report: Report }) {
  if (report.segments.length === 0 && !report.truncated.segments) return null;
  return (
    <Section title="Segments">
      <DataTable
        label="Segments"
        columns={[...text("Segment"), ...figures("Rows", "Members", "Joined", "Left")]}
        rows={report.segments.map((one) => [one.name, ...[one.rows, one.members, one.joined, one.left].map(number)])}
      />
      <LeftOut report={report} of="segments" words="segments" />
    </Section>
  );
}

export function Warnings({ report }: { report: Report }) {
  if (report.warnings.length === 0 && !report.truncated.warnings) return null;
  return (
    <Section title="Warnings">
      <DataTable
        label="Warnings"
        columns={[...text("Field", "What was wrong"), ...figures("Values"), ...text("What to do", "For example")]}
        rows={report.warnings.map((one) => [
          one.field,
          plain(one.kind),
          number(one.count),
          one.remedy,
          one.examples.slice(0, 3).join(", "),
        ])}
      />
      <LeftOut report={report} of="warnings" words="warnings" />
    </Section>
  );
}

export function Versions({ report }: { report: Report }) {
  return (
    <Section title="Versions">
      <Text>
        {Object.entries(report.versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", ")}
      </Text>
      {report.run_uri && (
        <Text overflowWrap="anywhere">
          Files of the run: <Code>{report.run_uri}</Code>
        </Text>
      )}
    </Section>
  );
}
