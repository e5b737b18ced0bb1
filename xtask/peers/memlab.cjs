'use strict';
// memlab: file to class table.
//
//   node memlab.cjs FILE
//
// memlab has no class table. It offers each node's retained size and, for a set of nodes, a function that
// finds the outermost ones by walking up from each; that is quadratic on a long list. So that it isn't
// measured by that, this driver only adds up each node's own figure: less work than the others do, and
// retained sizes that count nested objects of one class several times.
//
// Prints one JSON document with all classes, largest retained size first.

const {config} = require('@memlab/core');
const {getFullHeapFromFile} = require('@memlab/heap-analysis');

async function main(file) {
  config.muteConsole = true;
  const snapshot = await getFullHeapFromFile(file);
  const rows = new Map();
  snapshot.nodes.forEach((node) => {
    const name = node.type === 'object' || node.type === 'native' ? node.name : `(${node.type})`;
    let row = rows.get(name);
    if (!row) rows.set(name, (row = {name, count: 0, shallow_size: 0, retained_size: 0}));
    row.count++;
    row.shallow_size += node.self_size;
    row.retained_size += node.retainedSize;
  });
  const classes = [...rows.values()].sort((a, b) => b.retained_size - a.retained_size);
  console.log(JSON.stringify({classes}));
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
