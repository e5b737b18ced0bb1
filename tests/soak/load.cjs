'use strict';
// Steady load: so many requests a second, whether the server is quick or not.
//
//   node load.cjs PORT REQUESTS_PER_SECOND [busy]
//
// With `busy` it also asks for what only a busy server does.
//
// A latency counts from the time at which the request was due, so that a server that stands still is not asked
// less often. A request belongs to the stretch of time in which it was due.

const http = require('node:http');
const {performance} = require('node:perf_hooks');
const {text, key, value, sum, PICTURE_SIDE, bufferSize, ERRORS, listen, say} = require('./shared.cjs');

const [port, rate] = process.argv.slice(2).map(Number);
const isBusy = process.argv[4] === 'busy';
/** More than these at once wait on our side. */
const MOST_OPEN = 256;
/** A busy server is not asked for more while so many answers are due: what is measured is not how quick it is. */
const MOST_DUE = 64;
const PATIENCE = 600_000;
const SUM = 5_000;
const GARBAGE = 20_000;

const keeping = new http.Agent({keepAlive: true, maxSockets: 64});
const closing = new http.Agent({keepAlive: false, maxSockets: 64});

/** Kinds of requests and how many of a hundred are of it. */
const kinds = [
  [10, (seed) => ({path: `/block?seed=${seed}`, want: String(seed % 1000)})],
  [20, (seed) => ({path: `/echo?seed=${seed}&count=${(seed * 131) % 20_000}`, want: text(seed, (seed * 131) % 20_000)})],
  [10, (seed) => ({path: `/echo?seed=${seed}&count=500`, want: text(seed, 500), agent: closing})],
  [26, (seed) => ({path: `/gc?seed=${seed}&count=${GARBAGE}`, want: String(sum(seed, GARBAGE))})],
  [10, () => put()],
  [10, (seed) => ({path: `/get?seed=${seed % 100}`, want: value(seed % 100)})],
  [2, (seed) => ({path: `/child?seed=${seed}`, want: `word-${seed}`})],
  [6, (seed) => ({path: `/timer?seed=${seed}`, want: `timer ${seed}`})],
  [6, (seed) => ({path: `/worker?seed=${seed}&count=${SUM}`, want: String(sum(seed, SUM) + (seed % 1000))})],
];
/** The same for a busy server. */
const busyKinds = [
  ...kinds.map(([share, make]) => [Math.ceil(share / 2), make]),
  [7, (seed) => ({path: `/picture?seed=${seed}`, want: text(seed, PICTURE_SIDE ** 2 * 3)})],
  [10, (seed) => ({path: `/zip?seed=${seed}&count=${(seed * 131) % 50_000}`, want: text(seed, (seed * 131) % 50_000)})],
  [9, (seed) => ({path: `/keys?seed=${seed}&count=3000`, want: text(seed, 3000)})],
  [5, (seed) => ({path: `/buffers?seed=${seed}&count=50`, want: bufferTotal(seed, 50)})],
  [6, (seed) => ({path: `/wasm?seed=${seed}&count=1000`, want: String(seed + 1000)})],
  [5, () => ({path: '/errors', want: ERRORS})],
  [5, (seed) => ({path: `/thread?seed=${seed}&count=${SUM}`, want: String(sum(seed, SUM))})],
  [3, (seed) => ({path: `/node?seed=${seed}&count=${SUM}`, want: String(sum(seed, SUM))})],
];
const plan = (isBusy ? busyKinds : kinds).flatMap(([share, make]) => new Array(share).fill(make));

function bufferTotal(seed, count) {
  let total = 0;
  for (let i = 0; i < count; i++) total += bufferSize(seed, i);
  return String(total);
}

/** The first hundred keys are the server's own. */
let nextKey = 100;
const stored = [];
function put() {
  const number = nextKey++;
  return {path: `/put?seed=${number}`, method: 'POST', send: value(number), want: 'stored', then: () => stored.push(number)};
}

const newStretch = () => ({latencies: [], open: 0, failures: [], whenEmpty: null});
let stretch = newStretch();
let open = 0;
const waiting = [];
let seed = 0;

function due() {
  const number = seed++;
  const request = plan[(number * 37) % plan.length](number);
  const mine = stretch;
  mine.open++;
  waiting.push({request, mine, at: performance.now()});
  next();
}

function next() {
  while (open < MOST_OPEN && waiting.length > 0) {
    const {request, mine, at} = waiting.shift();
    open++;
    exchange(request)
      .then(
        (got) => {
          if (got.status !== 200 || got.body !== request.want) {
            throw new Error(`answered ${got.status} ${JSON.stringify(got.body.slice(0, 60))}`);
          }
          request.then?.();
        },
      )
      .catch((error) => mine.failures.push(`${request.path}: ${error.message}`))
      .finally(() => {
        open--;
        mine.latencies.push(performance.now() - at);
        if (--mine.open === 0) mine.whenEmpty?.();
        next();
      });
  }
}

function exchange({path, method = 'GET', send, agent = keeping}) {
  return new Promise((resolve, reject) => {
    const request = http.request({host: '127.0.0.1', port, path, method, agent, timeout: PATIENCE}, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (data) => (body += data));
      response.once('end', () => resolve({status: response.statusCode, body}));
      response.once('error', reject);
    });
    request.once('timeout', () => request.destroy(new Error('no answer')));
    request.once('error', reject);
    request.end(send);
  });
}

let timer;
let began;
let sent;
function start() {
  began = performance.now();
  sent = 0;
  timer = setInterval(() => {
    const wanted = Math.floor(((performance.now() - began) * rate) / 1000);
    for (; sent < wanted; sent++) if (!isBusy || stretch.open < MOST_DUE) due();
  }, 4);
}

const commands = {
  /** Ends a stretch of time, waits for its last answer and tells about it. */
  async mark() {
    const old = stretch;
    stretch = newStretch();
    if (old.open > 0) await new Promise((resolve) => (old.whenEmpty = resolve));
    return {latencies: old.latencies.map((time) => Math.round(time * 100) / 100), failures: old.failures};
  },
  /** No more requests, and no connections. */
  async rest() {
    clearInterval(timer);
    const told = await commands.mark();
    keeping.destroy();
    return told;
  },
  resume: () => start(),
  end() {
    finish();
    return {stored: stored.length, last: nextKey};
  },
};
const finish = listen(({command}) => commands[command]());
start();
say({id: 0});
