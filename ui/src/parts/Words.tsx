/** Small parts that are mostly words. */
import type { ReactNode } from "react";

import type { Compiled, NodeRow } from "../lib/api";
import { ApiError } from "../lib/api";
import { nodeLabel, percent, place, size, visible } from "../lib/format";

/** What went wrong, and what to do next. */
export function Failed({ error }: { error: Error }) {
  const hint = error instanceof ApiError ? error.hint : "Reload the page.";
  return (
    <div className="failed" role="alert">
      <p className="what">{visible(error.message)}</p>
      <p className="hint">{visible(hint)}</p>
    </div>
  );
}

/** A bar of less can't be seen. */
const LEAST = 0.01;

/** A size with its part of a whole, as a number and a bar behind it. */
export function Share({ bytes, whole }: { bytes: number; whole: number }) {
  const part = whole > 0 ? Math.max(0, Math.min(1, bytes / whole)) : 0;
  return (
    <span className="share" title={`${bytes.toLocaleString("en-US")} bytes`}>
      {part >= LEAST && <span className="bar" style={{ width: `${part * 100}%` }} aria-hidden="true" />}
      <span className="value">{size(bytes)}</span>
      <span className="percent">{percent(bytes, whole)}</span>
    </span>
  );
}

export function Bytes({ bytes }: { bytes: number }) {
  return <span title={`${bytes.toLocaleString("en-US")} bytes`}>{size(bytes)}</span>;
}

/** Which colour a node's label has: values, code, and V8's own things differ. */
function kindOf(type: string): string {
  if (type.includes("string")) return "string";
  if (type === "closure" || type === "code") return "code";
  if (type === "number" || type === "bigint" || type === "symbol" || type === "regexp") return "value";
  if (type === "hidden" || type === "synthetic" || type === "object shape") return "system";
  if (type === "native") return "native";
  return "object";
}

/** An edge as it is written in a program, or in angle brackets if no program can. */
export function edgeText(edge: { type: string; name: string }): string {
  const name = visible(edge.name);
  switch (edge.type) {
    case "property":
      return name;
    case "element":
      return `[${name}]`;
    case "context":
      return name;
    case "weak":
      return `<${name}> weak`;
    default:
      return `<${name}>`;
  }
}

interface Placed {
  script: string | null;
  script_id?: number;
  line: number;
  column: number;
  compiled?: Compiled;
}

/** A place in the source, and where that is in the script that ran, if a source map leads from one to the other. */
export function Place({ at }: { at: Placed }) {
  return (
    <span className="place">
      {place(at)}
      {at.compiled && <span className="compiled"> it ran as {place(at.compiled)}</span>}
    </span>
  );
}

function placeText(at: Placed): string {
  return `${place(at)}${at.compiled ? ` (it ran as ${place(at.compiled)})` : ""}`;
}

/** A node's label with its id, behind the edge that leads to it. */
export function NodeLabel({ node, joint }: { node: NodeRow; joint?: string }) {
  return (
    <span className="node">
      {node.edge && (
        <>
          <span className={`edge ${node.edge.type}`}>{edgeText(node.edge)}</span>
          <span className="joint"> {joint ?? ":"} </span>
        </>
      )}
      <span className={`label ${kindOf(node.type)}`}>{nodeLabel(node)}</span>
      <span className="id"> @{node.id}</span>
      {node.detached && <span className="badge">detached</span>}
      {node.location && (
        <>
          {" "}
          <Place at={node.location} />
        </>
      )}
    </span>
  );
}

/** What a node's row says in text. */
export function nodeText(node: NodeRow, joint = ":"): string {
  const edge = node.edge ? `${edgeText(node.edge)} ${joint} ` : "";
  const at = node.location ? ` ${placeText(node.location)}` : "";
  return `${edge}${nodeLabel(node)} @${node.id}${at}`;
}

/** A number with a name. */
export function Card({ title, children, note }: { title: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div className="card">
      <dt>{title}</dt>
      <dd>
        {children}
        {note && <span className="card-note">{note}</span>}
      </dd>
    </div>
  );
}
