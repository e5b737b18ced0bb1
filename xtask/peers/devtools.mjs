// The engine of Chrome's DevTools, as npm's heap-snapshot-toolkit packs it: file to class table.
//
//   node devtools.mjs FILE            both halves of the analysis in one thread, as the package does it
//   node devtools.mjs FILE --workers  the second half in a thread of its own, as Chrome does it
//
// Prints one JSON document with all classes, largest retained size first.

import {createReadStream} from 'node:fs';
import {MessageChannel, Worker, isMainThread, workerData} from 'node:worker_threads';

import {DevToolsAPI, parse} from 'heap-snapshot-toolkit';

async function parseWithTwoThreads(file) {
  const loader = new DevToolsAPI.HeapSnapshotLoader.HeapSnapshotLoader();
  for await (const chunk of createReadStream(file, 'utf-8')) loader.write(chunk);
  loader.close();
  await loader.parsingComplete;
  const {port1, port2} = new MessageChannel();
  const worker = new Worker(new URL(import.meta.url), {workerData: port2, transferList: [port2]});
  const snapshot = await loader.buildSnapshot(port1);
  port1.close();
  await worker.terminate();
  return snapshot;
}

async function main(file, flag) {
  const snapshot = flag === '--workers' ? await parseWithTwoThreads(file) : await parse(createReadStream(file, 'utf-8'));
  const classes = Object.entries(snapshot.aggregatesWithFilter({})).map(([key, row]) => ({
    name: row.name,
    key,
    count: row.count,
    shallow_size: row.self,
    retained_size: row.maxRet,
  }));
  classes.sort((a, b) => b.retained_size - a.retained_size);
  console.log(JSON.stringify({classes}));
}

if (isMainThread) {
  await main(process.argv[2], process.argv[3]);
} else {
  new DevToolsAPI.SecondaryInitManager(workerData);
}
