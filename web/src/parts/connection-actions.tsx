/** What changes a connection: its default audience, and whether somebody agrees to the transfer. */
import { Box, Button, Text } from "@chakra-ui/react";
import { useState } from "react";

import { audiences, chooseAudience, decide, leftToWithdraw, type Connection } from "../connections";
import { number } from "../words";
import { Asking } from "./asking";
import { Shown, useLoaded } from "./loading";
import { Select, Tick } from "./running";

type Props = { one: Connection; reload: () => void };

export function ChooseAudience({ one, reload }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button size="sm" variant="outline" onClick={() => setOpen(true)}>
        Choose the audience
      </Button>
      {open && <Audiences one={one} reload={reload} onClose={() => setOpen(false)} />}
    </>
  );
}

function Audiences({ one, reload, onClose }: Props & { onClose: () => void }) {
  const loaded = useLoaded(() => audiences(one.connection_id), one.connection_id);
  const [chosen, setChosen] = useState<string>();
  const listed = loaded.data?.audiences ?? [];
  const before = listed.some(({ id }) => id === one.audience_id) ? one.audience_id : "";
  const save = async () => {
    const id = chosen ?? before;
    if (!id) throw new Error("Choose an audience first.");
    await chooseAudience(one.connection_id, id);
    reload();
  };
  return (
    <Asking title={`Default audience of ${one.connection_id}`} confirm="Save it" onClose={onClose} act={save}>
      <Text mb={2}>Exports that name no audience of their own go there from their next run on.</Text>
      <Shown loaded={loaded}>
        {({ total }) =>
          listed.length ? (
            <>
              <Select label="Audience" value={chosen ?? before} onChange={setChosen}>
                {[
                  ...(before ? [] : [["", "Choose an audience"] as [string, string]]),
                  ...listed.map(({ id, name }): [string, string] => [id, `${name} (${id})`]),
                ]}
              </Select>
              {total > listed.length && (
                <Text mt={2}>
                  These are the first {number(listed.length)} of {number(total)} audiences.
                </Text>
              )}
            </>
          ) : (
            <Text>The account has no audience yet: create one in Mailchimp.</Text>
          )
        }
      </Shown>
    </Asking>
  );
}

/** The list is loaded again once the dialog is closed: without consent there is no such button, nor what it says. */
export function Withdraw({ one, reload }: Props) {
  const [open, setOpen] = useState(false);
  const withdraw = async () => {
    const left = leftToWithdraw(await decide(one.connection_id, false));
    if (left) throw new Error(left);
  };
  const close = () => {
    setOpen(false);
    reload();
  };
  return (
    <Box>
      <Button size="sm" variant="outline" colorPalette="red" onClick={() => setOpen(true)}>
        Withdraw consent
      </Button>
      {open && (
        <Asking
          title={`Withdraw the consent of ${one.connection_id}?`}
          confirm="Withdraw it"
          danger
          onClose={close}
          act={withdraw}
        >
          <Text>
            No profile leaves by this connection any more: every export by it is refused, and those that run stop at their next
            request, or cancel the batches that they wait for. What Mailchimp has taken stays there. Your name and the moment are kept in the connection.
          </Text>
        </Asking>
      )}
    </Box>
  );
}

type Agreeing = Props & { agreement: string };

export function Agree(agreeing: Agreeing) {
  const [open, setOpen] = useState(false);
  return (
    <Box>
      <Button size="sm" variant="outline" onClick={() => setOpen(true)}>
        Agree
      </Button>
      {open && <Agreement {...agreeing} onClose={() => setOpen(false)} />}
    </Box>
  );
}

/** The dialog has the tick, so that it goes with it: whoever opens it again has not agreed yet. */
function Agreement({ one, agreement, reload, onClose }: Agreeing & { onClose: () => void }) {
  const [ticked, setTicked] = useState(false);
  const agree = async () => {
    if (!ticked) throw new Error("Tick it, if you agree.");
    await decide(one.connection_id, true);
    reload();
  };
  return (
    <Asking title="Agree to the transfer of personal data?" confirm="Keep that I agree" onClose={onClose} act={agree}>
      <Box mb={2}>
        <Text mb={2}>{agreement}</Text>
        <Tick label="I agree to the transfer of personal data" on={ticked} onChange={setTicked} />
      </Box>
      <Text>Your name and the moment are kept in the connection {one.connection_id}, and each run logs them.</Text>
    </Asking>
  );
}
