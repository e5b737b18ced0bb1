/**
 * The server's answers, as `crates/web/API.md` describes them, and how they are fetched.
 *
 * Sizes are bytes, times are seconds. Whatever a dump contains comes as a JSON string and goes into text nodes.
 */

export interface Progress {
  bytes: number;
  total_bytes: number | null;
  passes: string[];
  passes_done: number;
  seconds: number;
  seconds_left: number | null;
}

export interface FileState {
  id: number;
  name: string;
  path: string;
  status: "waiting" | "loading" | "ready" | "failed";
  kind: "js-snapshot" | "native-trace" | null;
  progress: Progress;
  load_seconds: number | null;
  problem: { error: string; hint: string } | null;
  warnings: string[];
}

export interface AppState {
  schema_version: number;
  version: string;
  files: FileState[];
}

export interface Statistics {
  total: number;
  code: number;
  strings: number;
  js_arrays: number;
  typed_arrays: number;
  system: number;
  other_js: number;
  other_native: number;
}

export interface Info {
  file: string;
  has_user_roots: boolean;
  nodes: number;
  edges: number;
  strings: number;
  classes: number;
  root_id: number;
  total_size: number;
  extra_native_bytes: number;
  statistics: Statistics;
}

export interface Location {
  script: string | null;
  script_id: number;
  line: number;
  column: number;
  compiled?: Compiled;
}

/** The same place in the script that ran, if that was made of other sources. */
export interface Compiled {
  script: string;
  line: number;
  column: number;
}

export interface ClassRow {
  class_id: number;
  name: string;
  key: string;
  count: number;
  shallow_size: number;
  retained_size: number;
  distance: number;
  location?: Location;
}

export interface NodeRow {
  id: number;
  name: string;
  cut: boolean;
  class: string;
  class_id: number;
  type: string;
  shallow_size: number;
  retained_size: number;
  distance: number;
  detached: boolean;
  has_edges: boolean;
  dominated_count: number;
  location?: Location;
  edge?: { type: string; name: string };
}

export interface Page<T> {
  total: number;
  offset: number;
  rows: T[];
}

export interface Classes extends Page<ClassRow> {
  count: number;
  shallow_size: number;
}

export interface Tile {
  name: string;
  size: number;
  count: number;
  class: number | null;
  children?: Tile[];
}

export interface StringGroup {
  group_id: number;
  text: string;
  cut: boolean;
  count: number;
  shallow_size: number;
  wasted: number;
  may_differ: boolean;
  example_id: number | null;
}

export interface Strings extends Page<StringGroup> {
  wasted: number;
}

export interface ObjectDetail {
  object: NodeRow;
  text: string;
  text_cut: boolean;
  self_size: number;
  dominator: NodeRow;
  edge_count: number;
  held_by_root: boolean;
}

export interface MergedStep {
  step: number;
  edge_type: string;
  edge_name: string | null;
  class: string;
  class_id: number;
  objects: number;
  instances: number;
  shallow_size: number;
  retained_size: number;
  has_children: boolean;
}

export interface DiffRow {
  name: string;
  key: string;
  class_id: number | null;
  added: number;
  removed: number;
  delta: number;
  allocated_size: number;
  freed_size: number;
  size_delta: number;
}

export interface Diff extends Page<DiffRow> {
  comparable_ids: boolean;
  added: number;
  removed: number;
  size_delta: number;
}

export interface SuspectPlace {
  script: string;
  line: number;
  column: number;
  function: string | null;
  role: string;
  compiled?: Compiled;
}

export interface Suspect {
  verdict: Verdict;
  confidence: string;
  name: string;
  class: string;
  location: SuspectPlace | null;
  package: string | null;
  count: number[];
  shallow_size: number[];
  retained_size: number[];
  growth_per_step: number;
  pattern: string | null;
  accumulation_id: number;
  accumulation_name: string;
  example_id: number;
  evidence: string[];
  advice: string;
}

export type Verdict = "leak" | "suspect" | "none";

export interface Leaks {
  headline: string;
  verdict: Verdict;
  confidence: string;
  files: number[];
  total_size: number[];
  comparable_ids: boolean | null;
  suspects: Suspect[];
  warnings: string[];
}

/** A request that was answered with a reason instead of rows. */
export class ApiError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export type Params = Record<string, string | number | boolean | null | undefined>;

/** An address of the API; empty values are left out, so that equal questions have equal addresses. */
export function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return `api/${path}${text && `?${text}`}`;
}

/**
 * The answer to a request. Refusals of the server, and a server that is gone, are an `ApiError`; a request that nobody
 * wants any more ends with the error of its signal, at whatever point of the answer it was.
 */
export async function get<T>(url: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, signal ? { signal } : {});
    // What a refusal says is wanted too, but it is one without that. Half an answer is none.
    body = response.ok ? await response.json() : await response.json().catch(() => null);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(
      "twinheap doesn't answer",
      "It may have been ended, or the ssh tunnel is closed. Start `twinheap open` again and use the address that it prints.",
    );
  }
  if (!response.ok) {
    const { error, hint } = (body ?? {}) as { error?: string; hint?: string };
    throw new ApiError(error ?? `the server answered with status ${response.status}`, hint ?? "Reload the page.");
  }
  return body as T;
}
