import type * as Types from "react/jsx-runtime";

const runtime = (globalThis as unknown as { ReactJSXRuntime: typeof Types }).ReactJSXRuntime;

export const { Fragment, jsx, jsxs } = runtime;
