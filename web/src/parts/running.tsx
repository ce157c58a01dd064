/** The form of a run by hand: the DAG's own parameters, as it has them. */
import { Box, Input, Text } from "@chakra-ui/react";
import { useState } from "react";
import { useNavigate } from "react-router-dom";

import { params, trigger, type Param } from "../api";
import { changed, typed, type Values } from "../arithmetic";
import { Asking } from "./asking";
import { Shown, useLoaded } from "./loading";
import { runPath } from "./outcomes";

type Props = { dagId: string; name: string; paused: boolean; dryRun: boolean; onClose: () => void };

export function RunDialog({ dagId, name, paused, dryRun, onClose }: Props) {
  const loaded = useLoaded(() => params(dagId), dagId);
  const [values, setValues] = useState<Values>(dryRun ? { dry_run: true } : {});
  const go = useNavigate();
  const start = async () => {
    const usual = Object.fromEntries(Object.entries(loaded.data ?? {}).map(([key, param]) => [key, param.value]));
    const missing = dryRun && !("dry_run" in usual);
    if (missing) throw new Error("The DAG has no parameter dry_run, so it cannot be rehearsed from here.");
    const { dag_run_id } = await trigger(dagId, changed(values, usual));
    go(runPath(dagId, dag_run_id));
  };
  return (
    <Asking
      title={dryRun ? `Dry run of ${name}` : `Run ${name}`}
      confirm={dryRun ? "Start the dry run" : "Start the run"}
      onClose={onClose}
      act={start}
    >
      {paused && <Text mb={2}>The DAG is paused: the run waits until somebody switches it on.</Text>}
      <Shown loaded={loaded}>
        {(found) =>
          Object.entries(found).map(([key, param]) => (
            <Field
              key={key}
              name={key}
              param={param}
              fixed={dryRun && key === "dry_run"}
              value={key in values ? values[key] : param.value}
              onChange={(value) => setValues((before) => ({ ...before, [key]: value }))}
            />
          ))
        }
      </Shown>
    </Asking>
  );
}

type FieldProps = { name: string; param: Param; value: unknown; fixed: boolean; onChange: (value: unknown) => void };

function Field({ name, param, value, fixed, onChange }: FieldProps) {
  const { schema } = param;
  const title = schema.title ?? name;
  const types = [schema.type].flat();
  if (types.includes("boolean"))
    return <Tick label={title} on={value === true} fixed={fixed} onChange={onChange} about={param.description} />;
  if (types.includes("array") && schema.examples)
    return (
      <Box as="fieldset" mb={3}>
        <Text as="legend" fontWeight="bold">
          {title}
        </Text>
        {schema.examples.map((one) => {
          const chosen = Array.isArray(value) ? value : [];
          const keep = (on: boolean) => schema.examples?.filter((other) => (other === one ? on : chosen.includes(other)));
          return <Tick key={String(one)} label={String(one)} on={chosen.includes(one)} onChange={(on) => onChange(keep(on))} />;
        })}
      </Box>
    );
  return (
    <Box as="label" display="block" mb={3}>
      <Text fontWeight="bold">{title}</Text>
      {schema.enum ? (
        <Choice options={schema.enum} words={schema.values_display} value={value} onChange={onChange} />
      ) : (
        <Typed types={schema.type ? types : [typeof value]} value={value} onChange={onChange} />
      )}
      {param.description && <Text fontSize="sm">{param.description}</Text>}
    </Box>
  );
}

type TickProps = { label: string; on: boolean; fixed?: boolean; about?: string | null; onChange: (on: boolean) => void };

export function Tick({ label, on, fixed, about, onChange }: TickProps) {
  return (
    <Box as="label" display="block" mb={about ? 3 : 1}>
      <input type="checkbox" checked={on} disabled={fixed} onChange={(event) => onChange(event.target.checked)} /> {label}
      {about && <Text fontSize="sm">{about}</Text>}
    </Box>
  );
}

type ChoiceProps = { options: unknown[]; words?: Record<string, string>; value: unknown; onChange: (value: unknown) => void };

function Choice({ options, words, value, onChange }: ChoiceProps) {
  return (
    <Select value={options.indexOf(value).toString()} onChange={(chosen) => onChange(options[Number(chosen)])}>
      {options.map((option, at) => [at.toString(), words?.[String(option)] ?? String(option)])}
    </Select>
  );
}

type SelectProps = { label?: string; value: string; onChange: (value: string) => void; children: [value: string, words: string][] };

/** The browser's own list: it needs no more than the keyboard, and looks like its surroundings. */
export function Select({ label, value, onChange, children }: SelectProps) {
  return (
    <Box borderWidth={1} borderRadius="md" px={2} py={1} display="inline-block" maxW="100%">
      <select
        aria-label={label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        style={{ background: "transparent", color: "inherit", maxWidth: "100%" }}
      >
        {children.map(([option, words]) => (
          <option key={option} value={option} style={{ background: "var(--chakra-colors-bg)" }}>
            {words}
          </option>
        ))}
      </select>
    </Box>
  );
}

type TypedProps = { types: unknown[]; value: unknown; onChange: (value: unknown) => void };

function Typed({ types, value, onChange }: TypedProps) {
  const [words, setWords] = useState(typeof value === "string" ? value : value === null ? "" : JSON.stringify(value));
  const numeric = types.includes("number") || types.includes("integer");
  const take = (now: string) => {
    setWords(now);
    onChange(typed(now, types));
  };
  return <Input size="sm" type={numeric ? "number" : "text"} step="any" value={words} onChange={(event) => take(event.target.value)} />;
}
