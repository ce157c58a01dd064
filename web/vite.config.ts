import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Airflow's UI brings React, the JSX runtime, the router and Chakra; what is imported of them is what it has.
const HOST = [
  { find: /^react$/, replacement: at("src/host/react.ts") },
  { find: /^react\/jsx-runtime$/, replacement: at("src/host/jsx-runtime.ts") },
  { find: /^react-router-dom$/, replacement: at("src/host/router.ts") },
  { find: /^@chakra-ui\/react$/, replacement: at("src/host/chakra.ts") },
];

export default defineConfig({
  base: "./",
  resolve: { alias: HOST },
  // The notices of the licences stay in the bundle.
  esbuild: { legalComments: "inline" },
  build: {
    target: "es2022",
    outDir: at("../airflow_mailchimp_export/pages/static"),
    emptyOutDir: true,
    modulePreload: false,
    rollupOptions: {
      input: at("src/main.tsx"),
      output: { entryFileNames: "main.js", chunkFileNames: "[name]-[hash].js" },
    },
  },
  test: { include: ["test/**/*.test.ts"] },
});
