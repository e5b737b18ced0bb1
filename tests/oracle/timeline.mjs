// Takes an allocation timeline of the zoo, with stacks, from OUTSIDE of the process.
//
//   node timeline.mjs NODE_BINARY OUT.heaptimeline
//
// Needs Node >= 22 itself (WebSocket); NODE_BINARY may be older. It has to be outside: a process that records its own
// timeline runs JavaScript while V8 writes the file, which makes the counts in the header wrong or crashes it.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

const [binary, out] = process.argv.slice(2);
if (!binary || !out) {
  process.stderr.write('usage: node timeline.mjs NODE_BINARY OUT.heaptimeline\n');
  process.exit(2);
}

const zoo = fileURLToPath(new URL('zoo.cjs', import.meta.url));
const child = spawn(binary, ['--inspect=127.0.0.1:0', zoo, '.', 'timeline'], { stdio: ['ignore', 'ignore', 'pipe'] });
let stderr = '';
const address = new Promise((resolve, reject) => {
  child.stderr.on('data', text => {
    stderr += text;
    const found = /ws:\/\/\S+/.exec(stderr);
    if (found) resolve(found[0]);
  });
  child.on('exit', code => reject(new Error(`${binary} ended with ${code}: ${stderr}`)));
});

try {
  await record(await address);
} finally {
  child.kill('SIGKILL');
}
process.exit(0);

async function record(url) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('cannot connect to ' + url));
  });
  const file = fs.openSync(out, 'w');
  const pending = new Map();
  let nextId = 1;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.method === 'HeapProfiler.addHeapSnapshotChunk') fs.writeSync(file, message.params.chunk);
    pending.get(message.id)?.(message);
  };
  const call = async (method, params = {}) => {
    const id = nextId++;
    const answer = new Promise(resolve => pending.set(id, resolve));
    socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await answer;
    if (error || result.exceptionDetails) throw new Error(`${method}: ${JSON.stringify(error ?? result)}`);
    return result;
  };
  // The inspector listens before the zoo's script has run to its end.
  for (;;) {
    const { result } = await call('Runtime.evaluate', { expression: 'typeof zooAllocate' });
    if (result.value === 'function') break;
    await sleep(50);
  }
  await call('HeapProfiler.enable');
  await call('HeapProfiler.startTrackingHeapObjects', { trackAllocations: true });
  for (let step = 1; step <= 4; step++) {
    await call('Runtime.evaluate', { expression: `zooAllocate(${step})` });
    await sleep(120); // V8 samples every 50 ms
  }
  await call('HeapProfiler.stopTrackingHeapObjects', { reportProgress: false });
  fs.closeSync(file);
  socket.close();
}
