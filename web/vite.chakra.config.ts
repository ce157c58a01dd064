import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// A bundle by itself, which only the pages in Airflow 3.1 load; it shares nothing with main.js, which waits for it.
export default defineConfig({
  base: "./",
  resolve: {
    alias: [
      { find: /^react$/, replacement: at("src/own/react.ts") },
      { find: /^react-dom$/, replacement: at("src/own/react-dom.ts") },
      { find: /^react\/jsx-runtime$/, replacement: at("src/host/jsx-runtime.ts") },
    ],
  },
  define: { "process.env.NODE_ENV": '"production"' },
  esbuild: { legalComments: "inline" },
  build: {
    target: "es2022",
    outDir: at("../airflow_mailchimp_export/pages/static"),
    emptyOutDir: false,
    modulePreload: false,
    rollupOptions: {
      // What its files say to servers that render React.
      onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning),
    },
    lib: { entry: at("src/own/chakra.tsx"), formats: ["es"], fileName: () => "chakra.js" },
  },
});
