// DevTools' answers to what people click on: retainers, contents, filters, duplicate strings, the allocation timeline.
// All lists are in the order in which the DevTools grids show them.

import { comparator, nodeFilter } from './engine.mjs';
import { classTable } from './rows.mjs';

/** Long lists (the elements of a big array) add nothing after this many rows; `total` tells how many there are. */
const LIST_LIMIT = 60;

/** The entries of the Summary view's filter drop-down. */
const NAMED_FILTERS = [
  'duplicatedStrings',
  'objectsRetainedByDetachedDomNodes',
  'objectsRetainedByConsole',
  'objectsRetainedByContexts',
  'objectsRetainedByEventHandlers',
  'sharedNativeContext',
  'noNativeContext',
];

/** Answers about about `count` nodes, and about the snapshot as a whole. */
export function answerQueries(snapshot, count) {
  return {
    interfaces: JSON.parse(snapshot.interfaceDefinitions()).map(d => ({ name: d.name, count: d.count })),
    max_js_object_id: snapshot.maxJsNodeId(),
    native_contexts: nativeContexts(snapshot),
    filters: filters(snapshot),
    duplicate_strings: duplicateStrings(snapshot),
    samples: snapshot.getSamples() && samples(snapshot.getSamples()),
    allocation_sites: snapshot.profile.snapshot.trace_function_count ? allocationSites(snapshot) : null,
    nodes: sampleNodes(snapshot, count).map(index => nodeAnswers(snapshot, index)),
  };
}

/** The root, the first and last node of every class that is rare, and every n-th node. */
function sampleNodes(snapshot, count) {
  const chosen = new Set([snapshot.rootNodeIndex]);
  const fields = snapshot.nodeFieldCount;
  const classes = Object.values(snapshot.aggregatesWithFilter(nodeFilter()));
  for (let i = 0; i < classes.length; i += Math.ceil(classes.length / (count / 3))) {
    chosen.add(classes[i].idxs[0]).add(classes[i].idxs.at(-1));
  }
  const step = Math.max(1, Math.floor(snapshot.nodeCount / (count / 3)));
  for (let i = 0; i < snapshot.nodeCount; i += step) chosen.add(i * fields);
  return [...chosen].sort((a, b) => a - b);
}

function nodeAnswers(snapshot, index) {
  const list = (provider, order, show) => {
    provider.sortAndRewind(order);
    // Sorting only a window picks pivots at random; the whole range is sorted stably.
    const range = provider.serializeItemsRange(0, Infinity);
    return { total: range.totalLength, rows: range.items.slice(0, LIST_LIMIT).map(show) };
  };
  const edge = item => ({
    edge: item.name,
    edge_type: item.type,
    id: item.node.id,
    name: item.node.name,
    distance: item.node.distance,
  });
  const node = snapshot.createNode(index);
  return {
    id: node.id(),
    name: node.name(),
    detachedness: node.detachedness(),
    can_be_queried: node.canBeQueried(),
    native_context: nativeContextId(snapshot, index),
    retainers: list(
      snapshot.createRetainingEdgesProvider(index),
      comparator('!edgeDistance', true, '!edgeName', true),
      edge,
    ),
    children: list(snapshot.createEdgesProvider(index), comparator('retainedSize', false, '!edgeName', true), edge),
  };
}

/** Id of the native context a node belongs to, or "shared" or null. */
function nativeContextId(snapshot, index) {
  const context = snapshot.nodeNativeContext(index);
  if (context === -1) return null;
  if (context === -2) return 'shared';
  return snapshot.createNode(context).id();
}

function nativeContexts(snapshot) {
  const sizes = snapshot.getNativeContextSizes();
  return {
    contexts: sizes.nativeContexts.map(c => ({
      id: c.nodeId,
      name: c.nodeName,
      attributed_size: c.attributedSize,
      shallow_size: c.selfSize,
      retained_size: c.retainedSize,
    })),
    shared_size: sizes.sharedSize,
    unattributed_size: sizes.noAttributionSize,
  };
}

/** Per filter: what the Summary view lists. */
function filters(snapshot) {
  const answers = {};
  for (const name of NAMED_FILTERS) answers[name] = classTable(snapshot, { filterName: name });
  for (const { nodeIndex, nodeId } of snapshot.getNativeContextSizes().nativeContexts) {
    answers[`native_context ${nodeId}`] = classTable(snapshot, { filterName: 'nativeContext_' + nodeIndex });
  }
  // "Objects allocated before/between": half of the ids are enough to see where the border belongs.
  const max = snapshot.maxJsNodeId();
  const middle = Math.floor(max / 2) | 1;
  answers[`ids 0 ${middle}`] = classTable(snapshot, { minNodeId: 0, maxNodeId: middle });
  answers[`ids ${middle} ${max}`] = classTable(snapshot, { minNodeId: middle, maxNodeId: max });
  return answers;
}

function duplicateStrings(snapshot) {
  return snapshot.getDuplicateStrings().map(group => ({
    value: group.value,
    count: group.count,
    shallow_size: group.totalSelfSize,
    retained_size: group.totalRetainedSize,
    truncated: group.truncated,
    ids: group.nodes.map(n => n.id),
  }));
}

const samples = ({ timestamps, lastAssignedIds, sizes }) =>
  timestamps.map((t, i) => ({ time: t / 1000, last_id: lastAssignedIds[i], size: sizes[i] }));

/** The Allocation view: where was allocated, largest first. */
const allocationSites = snapshot =>
  snapshot.allocationTracesTops().map(site => ({
    function: site.name,
    script: site.scriptName,
    line: site.line,
    column: site.column,
    count: site.count,
    size: site.size,
    live_count: site.liveCount,
    live_size: site.liveSize,
  }));
