/** A table that may be wider than the screen: it scrolls by itself, also with the keyboard. */
import { Box, Table } from "@chakra-ui/react";
import type { ReactNode } from "react";

type Column = { head: string; end?: boolean };

export function DataTable({ label, columns, rows }: { label: string; columns: Column[]; rows: ReactNode[][] }) {
  return (
    <Box role="region" aria-label={label} tabIndex={0} overflowX="auto" borderWidth={1} borderRadius="md">
      <Table.Root size="sm">
        <Table.Header>
          <Table.Row>
            {columns.map((column) => (
              <Table.ColumnHeader key={column.head} textAlign={column.end ? "end" : "start"} whiteSpace={column.end ? "nowrap" : "normal"}>
                {column.head}
              </Table.ColumnHeader>
            ))}
          </Table.Row>
        </Table.Header>
        <Table.Body>
          {rows.map((cells, row) => (
            <Table.Row key={row}>
              {cells.map((cell, column) => (
                <Table.Cell key={column} verticalAlign="top" {...(columns[column]?.end && { textAlign: "end", whiteSpace: "nowrap" })}>
                  {cell}
                </Table.Cell>
              ))}
            </Table.Row>
          ))}
        </Table.Body>
      </Table.Root>
    </Box>
  );
}

export const text = (...heads: string[]): Column[] => heads.map((head) => ({ head }));
export const figures = (...heads: string[]): Column[] => heads.map((head) => ({ head, end: true }));
