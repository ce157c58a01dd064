// React is Airflow's own: two of them on a page do not work together.
import type * as Types from "react";

const React = (globalThis as unknown as { React: typeof Types }).React;

export default React;
export const { Suspense, forwardRef, lazy, useCallback, useEffect, useId, useMemo, useRef, useState } = React;
