/** Documents of native traces, with the words of the command line's JSON, and what all native views share. */
import { address } from "./api";
import { count, size } from "./format";
import type { Route } from "./route";

export interface Cost {
  bytes: number;
  allocations: number;
  /** Not known of a sample. */
  temporary: number | null;
  peak: number;
  leaked: number;
}

export interface Frame {
  function: string | null;
  module: string | null;
  file?: string | null;
  line?: number | null;
  inlined?: boolean;
  kind: "native" | "js" | "builtin" | "unknown";
}

/** Blocks that nothing pointed to when the program ended, and those that only they pointed to. */
export interface LostCost {
  direct_blocks: number;
  direct_bytes: number;
  indirect_blocks: number;
  indirect_bytes: number;
}

export interface NativeSummary {
  file: string;
  command: string;
  runtime: number;
  allocations: number;
  allocated_bytes: number;
  temporary: number | null;
  temporary_exact: number | null;
  peak_bytes: number;
  peak_time: number;
  leaked_bytes: number;
  suppressed_bytes: number;
  peak_rss: number | null;
  attached: boolean;
  /** Only if the recorder looked for blocks that nothing points to (`record --leak-check`). */
  lost_bytes?: number;
  lost?: LostCost & { suppressed_bytes: number; stacks: (LostCost & { frames: Frame[] })[] };
  suppressions: { pattern: string; stacks: number; leaked_bytes: number }[];
  stacks: Record<By, (Cost & { frames: Frame[] })[] | null>;
  warnings: string[];
}

export type TreeNode = Cost & Frame & { depth: number; parent: number | null; hidden: { nodes: number } & Cost };

export interface NativeTree {
  by: By;
  direction: string;
  least: number;
  total: Cost;
  nodes: TreeNode[];
  hidden: { nodes: number } & Cost;
}

export type FunctionCost = Frame & {
  self: Cost;
  inclusive: Cost;
  callers: ({ function: number } & Cost)[];
  callees: ({ function: number } & Cost)[];
};

export interface Callers {
  total: Cost;
  functions: FunctionCost[];
}

export interface Timeline {
  time: number[];
  end: number;
  live_bytes: number[];
  allocations: number[];
  temporary: number[] | null;
  rss: (number | null)[];
  sites: { frames: Frame[]; live_bytes: number[] }[];
}

export interface Bucket {
  min_size: number;
  max_size: number;
  bytes: number;
  allocations: number;
  peak: number;
  leaked: number;
  top_site: { frames: Frame[] } | null;
}

export interface Histogram {
  buckets: Bucket[];
}

/** The line that stacks are put down to: function, module, file, line. */
export type Site = [name: string, module: string, file: string, line: number];

export interface NativeSuspect {
  verdict: "leak" | "suspect";
  confidence: string;
  function: string | null;
  module: string | null;
  location: { script: string; line: number | null; column: number | null } | null;
  package: string | null;
  /** Alive at each step. */
  bytes: number[];
  blocks: number[];
  growth_per_step: number;
  pattern: string | null;
  stacks: number;
  frames: Frame[];
  advice: string;
}

export interface NativeLeaks {
  verdict: "leak" | "suspect" | "none";
  confidence: string;
  steps: { file: string; time: number | null; live_bytes: number }[];
  suspect_count: number;
  suspects: NativeSuspect[];
  warnings: string[];
}

/** The verdict on the recordings of one program, or on moments of one; `problem` says why there is none. */
export interface NativeVerdict {
  ladder: "recordings" | "moments";
  files: number[];
  problem?: { error: string; hint: string };
  headline: string;
  names: string[];
  sites: (Site | null)[];
  newest: number[];
  leaks: NativeLeaks;
}

export function siteOf(route: Route): Site | undefined {
  try {
    const site: unknown = JSON.parse(route["site"] ?? "");
    return Array.isArray(site) && site.length === 4 ? (site as Site) : undefined;
  } catch {
    return undefined;
  }
}

export type By = "peak" | "leaked" | "allocations" | "temporary";

export const COSTS: [By, string, string][] = [
  ["peak", "Peak", "bytes alive when the program had the most"],
  ["leaked", "Leaked", "bytes that were never freed"],
  ["allocations", "Allocations", "calls that allocate"],
  ["temporary", "Temporary", "calls whose block was freed at once"],
];

export function byOf(route: Route): By {
  return COSTS.find(([by]) => by === route["by"])?.[0] ?? "peak";
}

/** A number of a cost, in its unit. */
export function costText(by: By, value: number | null): string {
  if (value === null) return "–";
  return by === "peak" || by === "leaked" ? size(value) : count(value);
}

/** What of a recording all views show: cost, stretch of time, function, call site, whether known leaks count. */
export function selection(route: Route): Record<string, string | undefined> {
  return { by: byOf(route), from: route["from"], to: route["to"], function: route["fn"], site: route["site"], unsuppressed: route["known"] && "true" };
}

export function nativeAddress(
  file: number,
  view: string,
  route: Route,
  more: Record<string, string | number | boolean | undefined> = {},
): string {
  return address(`files/${file}/native/${view}`, { ...selection(route), ...more });
}

/** A function's name without its parameters and template arguments, as the command line has it. */
export function shortName(name: string): string {
  let out = "";
  let depth = 0;
  for (let at = 0; at < name.length; at += 1) {
    const c = name[at]!;
    if (name.startsWith("operator", at)) {
      const end = name.indexOf("(", at + 8);
      const operator = end < 0 ? name.slice(at) : name.slice(at, Math.max(end, at + 10));
      if (depth === 0) out += operator;
      at += operator.length - 1;
    } else if (c === "<" && at > 0) {
      if (depth === 0) out += "<>";
      depth += 1;
    } else if (c === ">" && depth > 0) depth -= 1;
    else if (c === "(" && depth === 0 && at > 0 && !name.startsWith("(anonymous", at)) break;
    else if (depth === 0) out += c;
  }
  return out.trim() || name;
}

export function frameName(frame: Frame): string {
  if (!frame.function) return frame.module ? `(no symbol) ${frame.module.split("/").pop()}` : "(unknown)";
  return frame.kind === "native" ? shortName(frame.function) : frame.function;
}

export function framePlace(frame: Frame): string {
  if (frame.file) return `${frame.file.split("/").pop()}${frame.line ? `:${frame.line}` : ""}`;
  return frame.module?.split("/").pop() ?? "";
}
