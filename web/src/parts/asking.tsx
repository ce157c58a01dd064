/** A dialog that asks before something is done, and says so where it did not work. */
import { Box, Button, Dialog, Flex, Portal } from "@chakra-ui/react";
import { useState, type ReactNode } from "react";

import { Trouble } from "./loading";

type Asking = { title: string; confirm: string; danger?: boolean; onClose: () => void; act: () => Promise<void>; children: ReactNode };

export function Asking({ title, confirm, danger, onClose, act, children }: Asking) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const go = () => {
    setBusy(true);
    setError(undefined);
    act().then(onClose, (failed: unknown) => {
      setError(failed);
      setBusy(false);
    });
  };
  return (
    <Dialog.Root open onOpenChange={({ open }) => !open && onClose()} scrollBehavior="inside">
      <Portal>
        <Dialog.Backdrop />
        <Dialog.Positioner>
          <Dialog.Content>
            <Dialog.Header>
              <Dialog.Title>{title}</Dialog.Title>
            </Dialog.Header>
            <Dialog.Body>
              {children}
              {error !== undefined && <Trouble error={error} />}
            </Dialog.Body>
            <Dialog.Footer>
              <Flex gap={2} justify="flex-end">
                <Button variant="outline" onClick={onClose}>
                  Leave it
                </Button>
                <Button colorPalette={danger ? "red" : "blue"} disabled={busy} onClick={go}>
                  {confirm}
                </Button>
              </Flex>
            </Dialog.Footer>
          </Dialog.Content>
        </Dialog.Positioner>
      </Portal>
    </Dialog.Root>
  );
}

/** A button that opens such a dialog. */
export function AskingButton({ label, ...asking }: Omit<Asking, "onClose"> & { label: string }) {
  const [open, setOpen] = useState(false);
  return (
    <Box>
      <Button size="sm" variant="outline" colorPalette={asking.danger ? "red" : undefined} onClick={() => setOpen(true)}>
        {label}
      </Button>
      {open && <Asking {...asking} onClose={() => setOpen(false)} />}
    </Box>
  );
}
