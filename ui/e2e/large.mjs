// A snapshot of any size in seconds: a real one of a busy server, written by V8, and so many copies of all its objects
// that they fill the file. V8 itself would need minutes for one of 450 MB.
//
// A copy hangs on the same root and has ids and strings of its own; names of classes and properties are the same.
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A server's state after so many requests is a snapshot of 45 MB. */
const REQUESTS = 1500;
const generator = fileURLToPath(new URL("../../xtask/bench/heaps.cjs", import.meta.url));

/** Writes a snapshot of about so many bytes into `folder`; its path. */
export function writeLarge(folder, bytes) {
  const base = join(folder, "base.heapsnapshot");
  execFileSync(process.execPath, ["--max-old-space-size=2000", generator, `--requests=${REQUESTS}`, "--out", base]);
  // Larger indices and ids have more digits.
  const copies = Math.max(1, Math.round(bytes / 1.1 / statSync(base).size));
  const path = join(folder, "large.heapsnapshot");
  multiply(JSON.parse(readFileSync(base, "utf8")), copies, path);
  rmSync(base);
  return path;
}

function multiply(heap, copies, path) {
  const { snapshot, nodes, edges, strings, locations } = heap;
  const { meta } = snapshot;
  const [nodeSize, edgeSize] = [meta.node_fields.length, meta.edge_fields.length];
  const nodeField = (name) => meta.node_fields.indexOf(name);
  const [type, name, id, edgeCount] = ["type", "name", "id", "edge_count"].map(nodeField);
  const isText = meta.node_types[type].map((word) => /string/.test(word));
  const edgeIsNamed = meta.edge_types[0].map((word) => word !== "element" && word !== "hidden");
  const [edgeType, edgeName, edgeTo] = ["type", "name_or_index", "to_node"].map((field) => meta.edge_fields.indexOf(field));

  // Texts that are nothing but the values of strings: each copy has its own.
  const isName = new Uint8Array(strings.length);
  for (let at = 0; at < nodes.length; at += nodeSize) if (!isText[nodes[at + type]]) isName[nodes[at + name]] = 1;
  for (let at = 0; at < edges.length; at += edgeSize) if (edgeIsNamed[edges[at + edgeType]]) isName[edges[at + edgeName]] = 1;
  const rank = new Uint32Array(strings.length);
  const own = [];
  for (let at = 0; at < strings.length; at += 1) if (!isName[at]) rank[at] = own.push(at) - 1;

  let mostId = 0;
  for (let at = id; at < nodes.length; at += nodeSize) mostId = Math.max(mostId, nodes[at]);
  // V8's ids of objects are odd.
  const idStep = mostId + (mostId % 2);
  // The root is there once.
  const indexStep = nodes.length - nodeSize;
  const rootEdges = nodes[edgeCount];
  const place = (index, copy) => (index === 0 ? 0 : index + copy * indexStep);

  const out = new Writer(path);
  const count = 1 + copies * (nodes.length / nodeSize - 1);
  const head = { ...snapshot, node_count: count, edge_count: (copies * edges.length) / edgeSize };
  out.text(`{"snapshot":${JSON.stringify(head)},\n"nodes":[`);
  const row = (from, copy) => {
    for (let field = 0; field < nodeSize; field += 1) {
      let value = nodes[from + field];
      if (field === id) value += copy * idStep;
      else if (field === name && copy > 0 && !isName[value]) value = strings.length + (copy - 1) * own.length + rank[value];
      else if (field === edgeCount && from === 0) value *= copies;
      out.number(value);
    }
    out.line();
  };
  row(0, 0);
  for (let copy = 0; copy < copies; copy += 1) for (let at = nodeSize; at < nodes.length; at += nodeSize) row(at, copy);
  out.text('],\n"edges":[');
  const link = (from, copy) => {
    for (let field = 0; field < edgeSize; field += 1) {
      const value = edges[from + field];
      out.number(field === edgeTo ? place(value, copy) : value);
    }
    out.line();
  };
  const links = (from, to, copy) => {
    for (let at = from; at < to; at += edgeSize) link(at, copy);
  };
  for (let copy = 0; copy < copies; copy += 1) links(0, rootEdges * edgeSize, copy);
  for (let copy = 0; copy < copies; copy += 1) links(rootEdges * edgeSize, edges.length, copy);
  out.text('],\n"trace_function_infos":[],\n"trace_tree":[],\n"samples":[],\n"locations":[');
  const locationSize = meta.location_fields.length;
  for (let copy = 0; copy < copies; copy += 1) {
    for (let at = 0; at < locations.length; at += locationSize) {
      out.number(place(locations[at], copy));
      for (let field = 1; field < locationSize; field += 1) out.number(locations[at + field]);
      out.line();
    }
  }
  out.text('],\n"strings":[');
  out.text(strings.map((text) => JSON.stringify(text)).join(",\n"));
  for (let copy = 1; copy < copies; copy += 1) {
    out.text(own.map((at) => `,\n${JSON.stringify(`${strings[at]}/${copy}`)}`).join(""));
  }
  out.text("]}");
  out.close();
}

/** Writes numbers faster than they could be joined. */
class Writer {
  #file;
  #buffer = Buffer.alloc(1 << 22);
  #length = 0;
  #isFirst = true;

  constructor(path) {
    this.#file = openSync(path, "w");
  }

  number(value) {
    if (this.#length > this.#buffer.length - 32) this.#flush();
    if (!this.#isFirst) this.#buffer[this.#length++] = 44;
    this.#isFirst = false;
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits += 1;
    const end = this.#length + digits;
    for (let at = end - 1, rest = value; at >= this.#length; at -= 1) {
      const next = Math.floor(rest / 10);
      this.#buffer[at] = 48 + rest - next * 10;
      rest = next;
    }
    this.#length = end;
  }

  /** Where V8 ends a line. */
  line() {
    this.#buffer[this.#length++] = 10;
  }

  text(text) {
    this.#flush();
    writeFileSync(this.#file, text);
    this.#isFirst = true;
  }

  close() {
    closeSync(this.#file);
  }

  #flush() {
    let from = 0;
    while (from < this.#length) from += writeSync(this.#file, this.#buffer, from, this.#length - from);
    this.#length = 0;
  }
}
