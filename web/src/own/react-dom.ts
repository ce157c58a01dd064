// The same of ReactDOM.
const ReactDOM = (globalThis as unknown as { ReactDOM: Record<"createPortal" | "flushSync", unknown> }).ReactDOM;

export default ReactDOM;
export const { createPortal, flushSync } = ReactDOM;
