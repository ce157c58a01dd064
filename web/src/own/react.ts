// What the Chakra of Airflow 3.1's pages takes of React, which is Airflow's own there, too.
import type * as Types from "react";

const React = (globalThis as unknown as { React: typeof Types }).React;

export default React;
export const {
  Children,
  Component,
  Fragment,
  cloneElement,
  createContext,
  createElement,
  forwardRef,
  isValidElement,
  memo,
  startTransition,
  useCallback,
  useContext,
  useDeferredValue,
  useEffect,
  useId,
  useImperativeHandle,
  useInsertionEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
  useSyncExternalStore,
  version,
} = React;
