// A small heap whose strings would do something in a page that doesn't take them for text.

export const NAMES = [
  "<script>window.hit=1</script>",
  '"><img src=x onerror=window.hit=1>',
  "</script><script>window.hit=1</script>",
  "<svg onload=window.hit=1>",
  "\u202ejavascript:window.hit=1",
  "{{constructor.constructor('window.hit=1')()}}",
  "a\nb\tc",
];

export function hostileSnapshot() {
  const strings = ["", ...NAMES];
  const count = NAMES.length;
  const nodes = [9, 0, 1, 0, count, 0];
  const edges = [];
  for (let at = 1; at <= count; at += 1) {
    // Objects, closures and strings in turn.
    nodes.push([3, 5, 2][at % 3], at, 2 * at + 1, 10 * at, 0, 0);
    edges.push(2, (at % count) + 1, 6 * at);
  }
  return JSON.stringify({
    snapshot: {
      meta: {
        node_fields: ["type", "name", "id", "self_size", "edge_count", "detachedness"],
        node_types: [
          ["hidden", "array", "string", "object", "code", "closure", "regexp", "number", "native", "synthetic"],
          "string",
          "number",
          "number",
          "number",
          "number",
        ],
        edge_fields: ["type", "name_or_index", "to_node"],
        edge_types: [["context", "element", "property", "internal", "hidden", "shortcut", "weak"], "string_or_number", "node"],
        trace_function_info_fields: [],
        trace_node_fields: [],
        sample_fields: [],
        location_fields: [],
      },
      node_count: count + 1,
      edge_count: count,
      trace_function_count: 0,
    },
    nodes,
    edges,
    trace_function_infos: [],
    trace_tree: [],
    samples: [],
    locations: [],
    strings,
  });
}
