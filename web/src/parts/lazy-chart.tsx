import { Box } from "@chakra-ui/react";
import { lazy, Suspense, useEffect, useState } from "react";

import type { Series } from "./chart";

const Drawn = lazy(() => import("./chart"));

const isDark = () => document.documentElement.classList.contains("dark");

/** Whether Airflow's dark theme is on; it can change while a page is open. */
function useDark(): boolean {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const watch = new MutationObserver(() => setDark(isDark()));
    watch.observe(document.documentElement, { attributeFilter: ["class"] });
    return () => watch.disconnect();
  }, []);
  return dark;
}

export function LazyChart(props: { kind: "bar" | "line"; label: string; moments: string[]; series: Series[] }) {
  const dark = useDark();
  return (
    <Box h="240px" mb={3} position="relative">
      <Suspense fallback={<Box role="status">Loading the chart</Box>}>
        <Drawn {...props} dark={dark} />
      </Suspense>
    </Box>
  );
}
