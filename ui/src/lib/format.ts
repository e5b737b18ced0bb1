/** Numbers as people read them. Sizes are decimal, as in Chrome DevTools and on twinheap's command line. */

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function size(bytes: number): string {
  const negative = bytes < 0;
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 ? String(value) : value.toFixed(value >= 99.95 ? 0 : 1);
  return `${negative ? "−" : ""}${digits} ${UNITS[unit]}`;
}

const grouped = new Intl.NumberFormat("en-US");

/** A number with its thousands apart. */
export function count(value: number): string {
  return grouped.format(value).replace("-", "−");
}

/** So many of something: `1 object`, `2 objects`. */
export function many(value: number, one: string): string {
  return `${count(value)} ${one}${value === 1 ? "" : "s"}`;
}

/** With a sign, for what came or went. */
export function signed(value: number, format: (value: number) => string = count): string {
  return value > 0 ? `+${format(value)}` : format(value);
}

export function percent(part: number, whole: number): string {
  if (whole === 0) return "–";
  const value = (part / whole) * 100;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

/** From here on a distance says nothing: only the system reaches the node. */
const SYSTEM_DISTANCE = 100_000_000;

export function distance(value: number): string {
  return value >= 0 && value < SYSTEM_DISTANCE ? String(value) : "–";
}

export function seconds(value: number): string {
  if (value === 0) return "0 s";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(0)} ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 120) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Control characters, and marks that turn the direction of text around, made visible. */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    if (c === "\n") return "\\n";
    if (c === "\r") return "\\r";
    if (c === "\t") return "\\t";
    return `\\u{${c.charCodeAt(0).toString(16)}}`;
  });
}

/** A node as DevTools labels it: strings quoted, functions with parentheses, arrays with brackets. */
export function nodeLabel(node: { name: string; type: string; cut: boolean; id?: number }): string {
  if (node.id === 1 && node.type === "synthetic") return "(root)";
  const name = visible(node.name) + (node.cut ? "…" : "");
  switch (node.type) {
    case "string":
    case "concatenated string":
    case "sliced string":
      return `"${name}"`;
    case "closure":
      return `${name}()`;
    case "array":
      return `${name}[]`;
    case "regexp":
      return `/${name}/`;
    default:
      return name || `(${node.type})`;
  }
}

/** The last part of a path or address, without what a loader adds. */
export function baseName(path: string): string {
  return path.split(/[\\/]/).pop() || path;
}

export function place(location: { script: string | null; script_id?: number; line: number; column: number }): string {
  const script = location.script ? visible(location.script) : `script ${location.script_id ?? "?"}`;
  return `${script}:${location.line}:${location.column}`;
}
