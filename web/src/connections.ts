/** The Mailchimp connections: what is shown of them, what can be done with one, and how both are said. */
import { call } from "./api";
import { moment } from "./words";

export type Act = { by: string; at: string };
export type Consent = { given: boolean; agreed: Act | null; withdrawn: Act | null; flaws: string[] };
export type Mark = "ok" | "note" | "unknown" | "stop";
export type Point = { topic: string; mark: Mark; says: string; remedy: string };
export type Check = { at: string; by: string; is_outdated: boolean; hidden: number; points: Point[] };
export type Connection = {
  connection_id: string;
  description: string;
  data_center: string;
  audience_id: string;
  responsible: string;
  consent: Consent | null;
  problem: { message: string; remedy: string } | null;
  may_check: boolean;
  may_edit: boolean;
  check: Check | null;
};
export type Connections = { tests_enabled: boolean; agreement: string; connections: Connection[] };
export type Audiences = { audiences: { id: string; name: string }[]; total: number };
/** `elsewhere` says where the connection comes from that exports use in place of this one. */
export type Decided = { given: boolean; elsewhere: string | null };

const ALL = "mailchimp/api/connections";
const one = (id: string) => `${ALL}/${encodeURIComponent(id)}`;

export const connections = () => call<Connections>("GET", ALL);
export const audiences = (id: string) => call<Audiences>("GET", `${one(id)}/audiences`);
export const check = (id: string) => call<unknown>("POST", `${one(id)}/check`, {});
export const chooseAudience = (id: string, audience_id: string) => call<unknown>("PUT", `${one(id)}/audience`, { audience_id });
export const decide = (id: string, given: boolean) => call<Decided>("PUT", `${one(id)}/consent`, { given });

/** What is still to be done after a withdrawal: exports may use another connection of that name. */
export const leftToWithdraw = ({ elsewhere }: Decided): string =>
  elsewhere ? `It is withdrawn here, but exports go on. ${elsewhere}: withdraw it there.` : "";

const said = ({ by, at }: Act): string => `by ${by}, ${moment(at)}`;

/** Who agreed and when, who withdrew it, or that nobody knows. */
export function consentWords({ given, agreed, withdrawn }: Consent): string {
  if (given && agreed) return `given ${said(agreed)}`;
  if (given) return `given, by whom and when is not known${withdrawn ? `; withdrawn before that ${said(withdrawn)}` : ""}`;
  return withdrawn ? `withdrawn ${said(withdrawn)}` : "none: no profile may leave";
}

const MARKS: Record<Mark, readonly [words: string, colour: string]> = {
  stop: ["in the way", "red"],
  note: ["to know", "orange"],
  unknown: ["not known", "gray"],
  ok: ["in order", "green"],
};

export const markWords = (mark: Mark): string => MARKS[mark]?.[0] ?? mark;
export const markColour = (mark: Mark): string => MARKS[mark]?.[1] ?? "gray";

/** What a check came to, in a few words. */
export function checkWords({ points }: Check): string {
  const count = (mark: Mark) => points.filter((point) => point.mark === mark).length;
  const told = (["stop", "note", "unknown"] as const).filter(count).map((mark) => `${count(mark)} ${markWords(mark)}`);
  return told.length ? told.join(", ") : "everything is in order";
}
