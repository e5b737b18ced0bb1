// The Summary view's table, and how to repair the rows that DevTools gets wrong.

import { nodeFilter, withPublicKeys } from './engine.mjs';

/** What the Summary view shows, with a filter (fields of the engine's NodeFilter) or without. */
export function classTable(snapshot, filter = {}) {
  const classes = rows(snapshot.aggregatesWithFilter(nodeFilter(filter)));
  return { classes, faults: { collisions: repair(classes, rows(aggregatesWithoutCollisions(snapshot, filter))) } };
}

/** How to make one table of the other: rows to take out and rows to put in. */
export const repair = (shown, right) => ({ wrong: without(shown, right), right: without(right, shown) });

/** Largest retained first; the key decides between equals so that the order is stable. */
function rows(aggregates) {
  return Object.entries(aggregates)
    .map(([key, { name, count, self, maxRet, distance }]) => {
      return { name, key, count, shallow_size: self, retained_size: maxRet, distance };
    })
    .sort((a, b) => b.retained_size - a.retained_size || (a.key < b.key ? -1 : 1));
}

/** Aggregates per public key, without losing any. */
function aggregatesWithoutCollisions(snapshot, fields) {
  return withPublicKeys(() => {
    const filter = snapshot.createFilter(nodeFilter(fields));
    const aggregates = snapshot.buildAggregates(filter);
    snapshot.calculateClassesRetainedSize(aggregates, filter);
    return Object.fromEntries(aggregates);
  });
}

function without(rows, others) {
  const known = new Set(others.map(row => JSON.stringify(row)));
  return rows.filter(row => !known.has(JSON.stringify(row)));
}
