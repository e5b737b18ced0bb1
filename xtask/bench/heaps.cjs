'use strict';
// A Node server with the kinds of state that long-lived servers keep, filled by real requests over
// a loopback socket, which then writes its own heap snapshot. The model is a beacon node: merkle
// trees that share most of their nodes, a fork choice, caches, peers, subscriptions, histories.
//
//   node --max-old-space-size=MB heaps.cjs --requests N [--chain LENGTH] [--ladder] --out FILE.heapsnapshot
//
// `--ladder` also writes FILE.1.heapsnapshot and FILE.2.heapsnapshot, two and one hundredths of the requests earlier.
// The file grows by about the same number of bytes with each request (some 20 kB). `--chain` adds a
// singly linked list, which some dominator algorithms take badly. Randomness is seeded: two runs
// with the same arguments build the same state. Object ids and what the engine itself allocates
// differ a little from run to run.

const {AsyncLocalStorage, AsyncResource} = require('node:async_hooks');
const crypto = require('node:crypto');
const {EventEmitter, once} = require('node:events');
const http = require('node:http');
const {PassThrough} = require('node:stream');
const {parseArgs} = require('node:util');
const v8 = require('node:v8');

const TREE_DEPTH = 13;
const CACHE_CAPACITY = 1_024;

// ---- a seeded generator (mulberry32), so that runs are comparable ----

let seed = 0x5eed;
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const randomRoot = () => crypto.createHash('sha256').update(String(seed + below(1e9))).digest();

// ---- persistent merkle trees: the bulk of a beacon node's heap ----

class TreeNode {
  constructor(h0, h1, h2, h3) {
    this.h0 = h0;
    this.h1 = h1;
    this.h2 = h2;
    this.h3 = h3;
  }
}

class LeafNode extends TreeNode {
  static fromRoot(root) {
    // Most words are beyond a small integer and become heap numbers, as in the real library.
    return new LeafNode(root.readUInt32LE(0), root.readUInt32LE(4), root.readUInt32LE(8), below(1 << 20));
  }
  isLeaf() {
    return true;
  }
}

class BranchNode extends TreeNode {
  constructor(left, right) {
    super(0, 0, 0, 0);
    this._left = left;
    this._right = right;
  }
  isLeaf() {
    return false;
  }
}

function fullTree(depth, leaf) {
  return depth === 0 ? leaf() : new BranchNode(fullTree(depth - 1, leaf), fullTree(depth - 1, leaf));
}

/** A new root that shares everything but the path to leaf number `index`. */
function withLeaf(node, depth, index, leaf) {
  if (depth === 0) return leaf;
  const right = (index >>> (depth - 1)) & 1;
  return right
    ? new BranchNode(node._left, withLeaf(node._right, depth - 1, index, leaf))
    : new BranchNode(withLeaf(node._left, depth - 1, index, leaf), node._right);
}

class CachedState {
  #dirty = new Set();
  constructor(slot, root, previous) {
    this.slot = slot;
    this.root = root;
    this.balances = Float64Array.from({length: 16}, () => 32e9 + below(1e9));
    this.epochCache = previous && slot % 32 !== 0 ? previous.epochCache : new EpochCache(slot >> 5);
    this.finality = {epoch: slot >> 5, root: previous ? previous.finality.root : 'genesis'};
  }
  touch(index) {
    this.#dirty.add(index);
  }
}

class EpochCache {
  constructor(epoch) {
    this.epoch = epoch;
    this.shuffling = new Uint32Array(256).map(() => below(1 << 16));
    this.proposers = Array.from({length: 32}, () => below(1 << 16));
    this.pubkeyToIndex = new Map();
    for (let i = 0; i < 32; i++) this.pubkeyToIndex.set(randomRoot().toString('hex').slice(0, 24), i);
  }
}

// ---- fork choice: records with parents by index, and by string ----

class ProtoArray {
  nodes = [];
  indices = new Map();
  add(slot, parentRoot) {
    const root = `0x${randomRoot().toString('hex')}`;
    const parent = this.indices.get(parentRoot);
    this.indices.set(root, this.nodes.length);
    this.nodes.push({
      slot,
      blockRoot: root,
      parentRoot,
      parent,
      stateRoot: `${root.slice(0, 34)}${slot.toString(16).padStart(32, '0')}`,
      executionStatus: slot % 7 === 0 ? 'Syncing' : 'Valid',
      weight: random() * 1e9,
      bestChild: undefined,
      bestDescendant: undefined,
      justified: {epoch: slot >> 5, root: parentRoot},
      unrealised: slot % 3 === 0 ? null : {epoch: (slot >> 5) + 1, root},
    });
    return root;
  }
}

// ---- caches ----

class LruEntry {
  constructor(key, value) {
    this.key = key;
    this.value = value;
    this.newer = null;
    this.older = null;
  }
}

class LruCache {
  #map = new Map();
  newest = null;
  oldest = null;
  constructor(capacity) {
    this.capacity = capacity;
  }
  set(key, value) {
    const entry = new LruEntry(key, value);
    entry.older = this.newest;
    if (this.newest) this.newest.newer = entry;
    this.newest = entry;
    this.oldest ??= entry;
    this.#map.set(key, entry);
    if (this.#map.size > this.capacity) {
      this.#map.delete(this.oldest.key);
      this.oldest = this.oldest.newer;
      this.oldest.older = null;
    }
  }
}

// ---- a document-like tree with parent pointers ----

class Element {
  constructor(tag, parent) {
    this.tag = tag;
    this.parent = parent;
    this.children = [];
    this.attributes = {id: `${tag}-${below(1e6)}`, class: tag};
    parent?.children.push(this);
  }
  fill(depth) {
    if (depth === 0) return this;
    for (let i = 0; i < 3; i++) new Element(['div', 'span', 'li'][i], this).fill(depth - 1);
    return this;
  }
}

// ---- peers and sessions: emitters, closures, promises, streams, timers ----

class Peer extends EventEmitter {
  #secret = crypto.randomBytes(32);
  constructor(id) {
    super();
    this.id = id;
    this.score = random();
    this.topics = new Set(['beacon_block', `beacon_attestation_${below(64)}`, `sync_committee_${below(4)}`]);
    this.metadata = JSON.parse(`{"seq":${below(1e6)},"attnets":"${below(1e9).toString(2)}","client":"twin/${below(9)}"}`);
    const recent = [];
    this.on('message', (message) => recent.push(message.length));
    this.on('message', function count() {
      this.score += 0.01;
    });
    this.once('goodbye', () => recent.splice(0));
  }
  get secret() {
    return this.#secret;
  }
}

class Session {
  constructor(server, id, peer) {
    this.id = id;
    this.peer = peer;
    this.server = server;
    this.created = new Date(1.7e12 + below(1e9));
    this.headers = {};
    this.requests = [];
    this.pending = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.done = this.pending.then((value) => this.server.finished.push(value)).catch((error) => error);
    // Node keeps all timers of one duration in one linked list: few, or `--chain` says nothing new.
    this.deadline = peer.score > 0.95 ? setTimeout(() => this.resolve(id), 3_600_000).unref() : null;
  }
}

class ValidationError extends Error {
  constructor(message, cause) {
    super(message, {cause});
    this.name = 'ValidationError';
    this.code = 'ERR_VALIDATION';
  }
}

function* committee(peers, size) {
  for (let i = 0; i < size; i++) yield peers[below(peers.length)];
}

// ---- the server ----

class BeaconServer {
  constructor(chainLength) {
    this.context = new AsyncLocalStorage();
    this.bus = new EventEmitter({captureRejections: true}).setMaxListeners(0);
    this.peers = [];
    this.sessions = new Map();
    this.states = new LruCache(CACHE_CAPACITY);
    this.responses = new LruCache(CACHE_CAPACITY);
    this.forkChoice = new ProtoArray();
    this.head = this.forkChoice.add(0, 'genesis');
    this.metadataOf = new WeakMap();
    this.seen = new Set();
    this.history = [];
    this.chain = null;
    this.documents = [];
    this.errors = [];
    this.byKey = Object.create(null);
    this.slashings = new Map();
    this.finished = [];
    this.refs = [];
    this.generators = [];
    this.log = '';
    this.registry = new FinalizationRegistry((id) => this.sessions.delete(id));
    this.state = new CachedState(0, fullTree(TREE_DEPTH, () => LeafNode.fromRoot(randomRoot())), null);
    for (let i = 0; i < chainLength; i++) this.chain = {slot: i, next: this.chain};
  }

  async handle(request, response) {
    const body = [];
    for await (const chunk of request) body.push(chunk);
    const {slot, attestations} = JSON.parse(Buffer.concat(body));
    this.context.run({slot, started: process.hrtime.bigint()}, () => {
      this.onSession(request, slot);
      this.onBlock(slot);
      this.onAttestations(slot, attestations);
      this.onOddities(slot, body);
    });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({slot, head: this.head}));
  }

  onSession(request, slot) {
    if (slot % 2 === 1) this.peers.push(new Peer(`16Uiu2HA${randomRoot().toString('base64url')}`));
    const peer = this.peers[below(this.peers.length)];
    const session = new Session(this, `session-${slot}`, peer);
    Object.assign(session.headers, request.headers);
    session.requests.push(new URL(request.url, 'http://localhost'));
    peer.emit('message', request.url);
    this.bus.on('head', (root) => session.requests.push(root));
    this.metadataOf.set(session, {peer, seenAt: slot, bytes: new Uint8Array(24)});
    this.registry.register(session, session.id);
    this.sessions.set(session.id, session);
    this.refs.push(new WeakRef(session));
  }

  onBlock(slot) {
    let root = this.state.root;
    const state = new CachedState(slot, root, this.state);
    for (let i = 0; i < 3; i++) {
      const index = below(1 << TREE_DEPTH);
      root = withLeaf(root, TREE_DEPTH, index, LeafNode.fromRoot(randomRoot()));
      state.touch(index);
    }
    state.root = root;
    // One block in eight forks off an older one.
    const nodes = this.forkChoice.nodes;
    const parent = slot % 8 === 0 ? nodes[below(nodes.length)].blockRoot : this.head;
    this.head = this.forkChoice.add(slot, parent);
    this.states.set(this.head, state);
    this.state = state;
    this.history.push({slot, state: slot % 64 === 0 ? new WeakRef(state) : null});
  }

  onAttestations(slot, attestations) {
    for (const attestation of attestations) {
      attestation.signature = randomRoot();
      attestation.committee = [...committee(this.peers, 4)];
      this.seen.add(attestation.data.target.root);
      attestation.verify = () => attestation.signature.length === 32 && this.seen.size > slot;
      this.slashings.set(attestation.data.target.root, attestation);
    }
    this.responses.set(`/eth/v1/attestations/${slot}`, Buffer.from(JSON.stringify(attestations[0].data)));
    this.byKey[`slot:${slot}:${below(1e6)}`] = attestations.map((attestation) => attestation.data.index * 1.5);
  }

  onOddities(slot, body) {
    this.log += `slot ${slot} took ${random()} ms; `;
    if (slot % 4 === 0) this.documents.push(new Element('body', null).fill(3));
    if (slot % 16 === 0) this.generators.push(committee(this.peers, slot));
    if (slot % 32 === 0) this.errors.push(new ValidationError(`bad block at ${slot}`, new RangeError('too late')));
    if (slot % 32 === 1) this.errors.push(new AsyncResource('Validation'), new PassThrough());
    if (slot % 64 === 2) this.documents.push(new Proxy({slot}, {get: (target, key) => target[key]}), /slot-(\d+)/u);
    if (slot % 64 === 3) this.documents.push({at: BigInt(slot) ** 9n, [Symbol(`slot ${slot}`)]: this.log.slice(-40)});
    if (slot % 128 === 4) this.documents.push(crypto.createHash('sha256'), Buffer.alloc(16_384, body[0]));
  }
}

// ---- the client: each request carries attestations as JSON, as gossip would ----

function makeBody(slot) {
  const attestations = Array.from({length: 8}, (_, index) => ({
    aggregation_bits: below(1e9).toString(2),
    data: {
      slot: String(slot),
      index,
      source: {epoch: slot >> 5, root: `0x${below(64).toString(16).padStart(16, '0')}`},
      target: {epoch: (slot >> 5) + 1, root: `0x${randomRoot().toString('hex')}`},
    },
  }));
  return JSON.stringify({slot, attestations});
}

async function post(agent, port, slot) {
  const request = http.request({agent, port, method: 'POST', path: `/eth/v1/blocks?slot=${slot}`});
  request.end(makeBody(slot));
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
}

async function main() {
  const {values} = parseArgs({
    options: {
      requests: {type: 'string'},
      chain: {type: 'string', default: '0'},
      ladder: {type: 'boolean', default: false},
      out: {type: 'string'},
    },
  });
  const [requests, chainLength] = [Number(values.requests), Number(values.chain)];
  if (!Number.isSafeInteger(requests) || !Number.isSafeInteger(chainLength) || !values.out) {
    throw new Error('usage: heaps.cjs --requests N [--chain LENGTH] [--ladder] --out FILE');
  }
  const beacon = new BeaconServer(chainLength);
  const server = http.createServer((request, response) => beacon.handle(request, response));
  // A snapshot takes longer than idle connections are kept.
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = new http.Agent({keepAlive: true, maxSockets: 4});
  const rungs = values.ladder ? [2, 1].map((before) => requests - Math.ceil((requests * before) / 100)) : [];
  // The snapshots are taken with the server listening and its sockets open, as in production.
  globalThis.beacon = beacon;
  for (let slot = 1; slot <= requests; slot++) {
    await post(agent, server.address().port, slot);
    const rung = rungs.indexOf(slot);
    if (rung >= 0) v8.writeHeapSnapshot(values.out.replace(/[^.]*$/, `${rung + 1}.$&`));
  }
  v8.writeHeapSnapshot(values.out);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
