/** One picture of what became of every row that was read, and a table that says the same. */
import { Box, Flex, Text } from "@chakra-ui/react";

import { addsUp, partsOf } from "../arithmetic";
import type { Counts } from "../report";
import { number } from "../words";
import { DataTable, figures, text } from "./tables";

export function Sum({ counts, dryRun }: { counts: Counts; dryRun: boolean }) {
  const parts = partsOf(counts);
  const sentence = `${number(counts.rows_read)} rows read = ${parts.map((part) => `${number(part.value)} ${part.label}`).join(" + ") || "0"}`;
  return (
    <Box>
      <Text mb={1}>{sentence}</Text>
      {!addsUp(counts) && <Text role="alert">The sum is off: some rows are not accounted for.</Text>}
      <Flex role="img" aria-label={sentence} h="28px" borderRadius="md" overflow="hidden" mb={2}>
        {parts.map((part) => (
          <Box key={part.key} title={`${part.label}: ${number(part.value)}`} bg={`${part.colour}.500`} w={`${part.width}%`} minW="3px" />
        ))}
      </Flex>
      <DataTable
        label="What became of the rows"
        columns={[...text(dryRun ? "What would become of the rows" : "What became of the rows"), ...figures("Rows", "Share")]}
        rows={parts.map((part) => [
          <Flex align="center" gap={2}>
            <Box w="12px" h="12px" borderRadius="2px" bg={`${part.colour}.500`} aria-hidden="true" />
            {part.label}
          </Flex>,
          number(part.value),
          `${part.width.toFixed(1)} %`,
        ])}
      />
      <Text mt={2}>
        Beside these: {number(counts.removed)} {dryRun ? "would be removed" : "removed"}
        {counts.removal_failed > 0 && `, ${number(counts.removal_failed)} could not be removed`}.
      </Text>
    </Box>
  );
}
