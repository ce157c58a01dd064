/** That a page does not show all, where a run has more tasks than are asked for. */
import { Text } from "@chakra-ui/react";

import { number } from "../words";

export function Left({ tasks = 0, reports = 0 }: { tasks?: number; reports?: number }) {
  return (
    <>
      {tasks > 0 && <Text role="status">{number(tasks)} more tasks of this run are not looked at here; the grid of its DAG has all.</Text>}
      {reports > 0 && (
        <Text role="status">{number(reports)} more tasks of this run have published accounts that are not shown here.</Text>
      )}
    </>
  );
}
