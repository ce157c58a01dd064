/** The states that every page has: loading, out of order, logged out, and what it is about. */
import { Box, Button, Link, Spinner, Text } from "@chakra-ui/react";
import { useCallback, useEffect, useRef, useState, type ReactNode } from "react";

import { loginPage, Refused } from "../api";
import { afterFailure, type Held } from "../held";
import { message, secondOf } from "../words";

export type Loaded<T> = Held<T> & { reload: () => void };

/**
 * Load something, again whenever what it depends on changes, and every few seconds where that is asked for.
 *
 * What was loaded before stays while the server cannot say more, and it is asked again.
 */
export function useLoaded<T>(load: () => Promise<T>, on: string, everyMs?: (data: T) => number | undefined): Loaded<T> {
  const [held, setHeld] = useState<Held<T> & { on: string }>({ on });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const latest = useRef(held);
  useEffect(() => {
    let current = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const take = (now: Held<T>) => {
      if (!current) return;
      latest.current = { on, ...now };
      setHeld(latest.current);
      const wait = now.data === undefined ? undefined : everyMs?.(now.data);
      if (wait) timer = setTimeout(reload, wait);
    };
    load().then(
      (data) => take({ data, at: Date.now() }),
      (error: unknown) => take(afterFailure(latest.current.on === on ? latest.current : {}, error)),
    );
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [on, turn]);
  return held.on === on ? { ...held, reload } : { reload };
}

/** Show what was loaded, or why there is nothing yet; what is not of now says so. */
export function Shown<T>({ loaded, children }: { loaded: Loaded<T>; children: (data: T) => ReactNode }) {
  const { data, error, at, reload } = loaded;
  if (data === undefined && error !== undefined) return <Trouble error={error} again={reload} />;
  if (data === undefined)
    return (
      <Box p={4} role="status">
        <Spinner size="sm" /> Loading
      </Box>
    );
  return (
    <>
      {error !== undefined && at !== undefined && (
        <Box role="alert" mb={3} p={2} borderWidth={1} borderRadius="md" borderColor="orange.500" overflowWrap="anywhere">
          What is below is of {secondOf(at)}, and may be out of date: {message(error)}
        </Box>
      )}
      {children(data)}
    </>
  );
}

export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
  const status = error instanceof Refused ? error.status : 0;
  if (status === 401)
    return (
      <Box p={4} role="alert">
        <Text>You are logged out.</Text>
        <Link href={loginPage()} textDecoration="underline">
          Log in
        </Link>
      </Box>
    );
  return (
    <Box p={4} role="alert">
      <Text fontWeight="bold">
        {status === 403 ? "You have no right to this." : status === 404 ? "There is no such thing." : "That did not work."}
      </Text>
      <Text overflowWrap="anywhere">{message(error)}</Text>
      {again && (
        <Button mt={2} size="sm" variant="outline" onClick={again}>
          Load again
        </Button>
      )}
    </Box>
  );
}
