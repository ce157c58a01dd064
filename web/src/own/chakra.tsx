/** A Chakra for the pages in Airflow 3.1, whose own is out of their reach; it looks as Airflow's does, by its variables. */
import { ChakraProvider, createSystem, defaultConfig } from "@chakra-ui/react";
import type { ReactNode } from "react";

export { Badge, Box, Button, Code, Dialog, Flex, Heading, Input, Link, Portal, Spinner, Table, Text } from "@chakra-ui/react";

const system = createSystem(defaultConfig, { disableLayers: true });

/** Airflow has set the page's colours and sizes already, light and dark: only the styles of the components are added. */
export const Provider = ({ children }: { children: ReactNode }) => (
  <ChakraProvider value={{ ...system, _global: [] }}>{children}</ChakraProvider>
);
