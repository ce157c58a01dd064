/** Airflow's Chakra; that of Airflow 3.1 is out of reach, so there the pages bring one of their own. */
import type * as Types from "@chakra-ui/react";
import { Fragment } from "react/jsx-runtime";

const HERE = import.meta.url;
const OWN = new URL("chakra.js", HERE).href;

const given = (globalThis as unknown as { ChakraUI?: typeof Types }).ChakraUI;
const own = given ? undefined : ((await import(/* @vite-ignore */ OWN)) as typeof import("../own/chakra"));
const chakra = (given ?? own) as typeof Types;

/** What the pages are within; Airflow's own Chakra is set up already. */
export const Provider = own?.Provider ?? Fragment;
export const { Badge, Box, Button, Code, Dialog, Flex, Heading, Input, Link, Portal, Spinner, Table, Text } = chakra;
