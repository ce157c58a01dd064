import type * as Types from "react-router-dom";

const router = (globalThis as unknown as { ReactRouterDOM: typeof Types }).ReactRouterDOM;

export const { Link, useNavigate, useParams, useSearchParams } = router;
