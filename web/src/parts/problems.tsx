/** What stopped a run, what to do about it, and above all whether anything was sent. */
import { Box, Text } from "@chakra-ui/react";
import type { ReactNode } from "react";

import type { Problem } from "../report";

export function Banner({ colour, children }: { colour: string; children: ReactNode }) {
  return (
    <Box
      role="status"
      mb={3}
      p={3}
      borderWidth={2}
      borderRadius="md"
      borderColor={`${colour}.500`}
      fontWeight="bold"
    >
      {children}
    </Box>
  );
}

export function ProblemBox({ problem }: { problem: Pick<Problem, "message" | "remedy"> }) {
  return (
    <Box role="alert" mb={3} p={3} borderWidth={1} borderRadius="md" borderColor="red.500" overflowWrap="anywhere">
      <Text fontWeight="bold">{problem.message}</Text>
      {problem.remedy && <Text>Remedy: {problem.remedy}</Text>}
    </Box>
  );
}
