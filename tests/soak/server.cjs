'use strict';
// The server of the soak: it does much of what long-lived servers do, and counts what twinheap could break.
//
//   node server.cjs DATABASE HEAP_MB [busy]
//
// With `busy` it also does what keeps malloc busy (busy.cjs).
// Commands come as lines of JSON on standard input, answers go to standard output.

const {execFile, spawn} = require('node:child_process');
const {randomBytes} = require('node:crypto');
const http = require('node:http');
const path = require('node:path');
const {performance} = require('node:perf_hooks');
const {Worker} = require('node:worker_threads');
const {ClassicLevel} = require('classic-level');
const {text, key, value, sum, listen, say, quantile} = require('./shared.cjs');

const [database, heapMegabytes, busy] = process.argv.slice(2);
/** What a block with all that it holds takes, in bytes. */
const BLOCK_BYTES = 414;
const WORKER_ENTRIES = 5_000;
const EXIT_CODE = 42;

// ---- what stays ----

class Attestation {
  constructor(slot, index) {
    this.data = {slot, index};
  }
}

class Block {
  constructor(slot, parent) {
    this.slot = slot;
    this.root = `0x${randomBytes(32).toString('hex')}`;
    this.parent = parent;
    this.atts = [new Attestation(slot, 0), new Attestation(slot, 1)];
  }
}

const blocks = new Map();
const blockCount = Math.round((Number(heapMegabytes) * 1e6) / BLOCK_BYTES);
for (let slot = 0, parent = null; slot < blockCount; slot++) {
  // Not one long chain: every hundredth block begins a new one.
  parent = new Block(slot, slot % 100 === 0 ? null : parent);
  blocks.set(slot, parent);
}

// ---- what is measured, between one mark and the next ----

const TICK = 5;
let lags = [];
let spawnCalls = [];
let spawnTimes = [];
let signals = 0;
let spawned = 0;
let lastTick = performance.now();

const probe = setInterval(() => {
  const now = performance.now();
  lags.push(now - lastTick - TICK);
  lastTick = now;
  setImmediate(() => lags.push(performance.now() - now));
}, TICK);

process.on('SIGCHLD', () => signals++);

// ---- child processes, one after the other: two that end at once give one signal ----

let children = Promise.resolve();
function child(word) {
  return inTurn(() => (spawned % 2 ? run('echo', [word]) : runCat(word)));
}

function inTurn(start) {
  const result = children.then(start);
  children = result.catch(() => {});
  return result;
}

function timed(start) {
  const before = performance.now();
  const process = start();
  spawnCalls.push(performance.now() - before);
  spawned++;
  process.once('close', () => spawnTimes.push(performance.now() - before));
  return process;
}

function run(program, words) {
  return new Promise((resolve, reject) => {
    timed(() => execFile(program, words, (error, output) => (error ? reject(error) : resolve(output.trim()))));
  });
}

function runCat(word) {
  return new Promise((resolve, reject) => {
    const cat = timed(() => spawn('cat', {stdio: ['pipe', 'pipe', 'inherit']}));
    let output = '';
    cat.stdout.setEncoding('utf8').on('data', (data) => (output += data));
    cat.once('error', reject);
    cat.once('close', (code, signal) => (code === 0 ? resolve(output) : reject(new Error(`cat: ${code} ${signal}`))));
    cat.stdin.end(word);
  });
}

// ---- worker threads ----

const asked = new Map();
let question = 0;
const workers = ['network', 'compute'].map((name) => {
  const worker = new Worker(path.join(__dirname, 'worker.cjs'), {name, workerData: {name, entries: WORKER_ENTRIES}});
  worker.on('message', ({id, answer}) => {
    asked.get(id)(answer);
    asked.delete(id);
  });
  return worker;
});
const ask = (worker, message) =>
  new Promise((resolve) => {
    asked.set(++question, resolve);
    worker.postMessage({...message, id: question});
  });

// ---- requests ----

/** Garbage of all ages: most dies young, a tree stays until eight others were made. */
const retained = new Array(8);
let made = 0;
function collectable(seed, count) {
  const tree = [];
  for (let i = 0; i < count; i++) tree.push({number: (seed + i) % 97, label: `${seed}:${i}`, next: tree[i >> 1]});
  retained[made++ % retained.length] = tree;
  return tree.reduce((total, node) => total + node.number, 0);
}

function body(request) {
  return new Promise((resolve, reject) => {
    let all = '';
    request.setEncoding('utf8').on('data', (data) => (all += data));
    request.once('end', () => resolve(all));
    request.once('error', reject);
  });
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const turn = () => new Promise((resolve) => setImmediate(resolve));

const shared = path.join(__dirname, 'shared.cjs');
const db = new ClassicLevel(database);
const routes = {
  '/echo': (seed, count) => text(seed, count),
  '/block': (seed) => String(blocks.get(seed % 1000).atts[1].data.slot),
  '/gc': (seed, count) => String(collectable(seed, count)),
  '/put': async (seed, _count, request) => {
    await db.put(key(seed), await body(request));
    return 'stored';
  },
  '/get': (seed) => db.get(key(seed)),
  '/child': (seed) => child(`word-${seed}`),
  '/timer': async (seed) => {
    await sleep(3);
    await turn();
    return `timer ${seed}`;
  },
  /** A child that is a Node itself. */
  '/node': (seed, count) =>
    inTurn(() => run(process.execPath, ['-p', `require(${JSON.stringify(shared)}).sum(${seed}, ${count})`])),
  '/worker': async (seed, count) => String(await ask(workers[seed % workers.length], {kind: 'sum', seed, count})),
};

if (busy) Object.assign(routes, require('./busy.cjs'));

const server = http.createServer(async (request, response) => {
  try {
    const url = new URL(request.url, 'http://localhost');
    if (!(url.pathname in routes)) {
      response.statusCode = 404;
      return response.end();
    }
    const [seed, count] = ['seed', 'count'].map((name) => Number(url.searchParams.get(name)));
    response.end(await routes[url.pathname](seed, count, request));
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    response.end(String(error));
  }
});
// An idle connection that the server closes while the client sends again is a failure of neither.
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.headersTimeout = 0;

let spawning;

// ---- commands ----

const commands = {
  async mark() {
    const workerLags = await Promise.all(workers.map((worker) => ask(worker, {kind: 'lag'})));
    // A stop that is just over is seen at the next tick.
    await sleep(4 * TICK);
    const ascending = lags.sort((a, b) => a - b);
    const answer = {
      lag_worst: ascending.at(-1) ?? 0,
      lag_p99: quantile(ascending, 0.99),
      worker_lag_worst: workerLags[0],
      spawn_calls: spawnCalls,
      spawn_times: spawnTimes,
    };
    lags = [];
    spawnCalls = [];
    spawnTimes = [];
    return answer;
  },
  memory: () => process.memoryUsage(),
  /** Starts no more children, and counts. */
  async rest() {
    clearInterval(spawning);
    await children;
    await sleep(50);
    return {spawned, signals};
  },
  resume() {
    spawning = setInterval(() => child('tick').catch((error) => console.error(error)), 250);
  },
  async end() {
    await commands.rest();
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
    await Promise.all(workers.map((worker) => worker.terminate()));
    await db.close();
    process.exitCode = EXIT_CODE;
    // Nothing is left to do after the answer, so the process ends by itself.
    clearInterval(probe);
    finish();
  },
};
const finish = listen(({command}) => commands[command]());

(async () => {
  await db.open();
  for (let i = 0; i < 100; i++) await db.put(key(i), value(i));
  // The database starts its own thread for this, which stays.
  await db.compactRange(key(0), key(100));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  commands.resume();
  say({
    id: 0,
    pid: process.pid,
    port: server.address().port,
    version: process.version,
    statics: {Block: blockCount, Attestation: 2 * blockCount},
    worker_statics: {WorkerEntry: WORKER_ENTRIES},
    exit_code: EXIT_CODE,
  });
})();
