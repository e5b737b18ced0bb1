// The sample server of `twinheap demo`: a tiny shop which leaks in three known ways and is healthy otherwise.
//
// It listens on 127.0.0.1 only, on a port of the system's choice, and prints one line of JSON when it is ready:
// {"port":…,"pid":…,"token":"…"}. Each request must carry the token as `Authorization: Bearer …`, since every
// user of this machine can reach a loopback port.
//
//   POST /work  one visit to the shop
//   POST /exit  stop
//
// It also stops when its stdin closes, so nothing is left over when the program that started it dies.
'use strict';

const { randomBytes, timingSafeEqual } = require('node:crypto');
const { EventEmitter } = require('node:events');
const http = require('node:http');

// ---- Leak 1, the big one: sessions are closed but stay in the map. --------------------------------------

class Session {
  constructor(id, user) {
    this.id = id;
    this.user = user;
    this.cart = [{ sku: `sku-${id % 97}`, quantity: 1 + (id % 3) }];
    this.userAgent = `Mozilla/5.0 (X11; Linux x86_64) visitor/${id} `.padEnd(300, user);
    this.draft = Buffer.allocUnsafeSlow(1024).fill(id % 251);
  }
}

class SessionStore {
  constructor() {
    this.items = new Map();
  }

  open(id, user) {
    const session = new Session(id, user);
    this.items.set(session.id, session);
    return session;
  }

  close(session) {
    // The bug: the keys are ids, so nothing is ever deleted under a user's name.
    this.items.delete(session.user);
  }
}

// ---- Leak 2, the small one: listeners that nobody takes off. --------------------------------------------

class Quote {
  constructor(sku) {
    this.sku = sku;
    this.price = 0;
    this.history = [];
  }
}

class PriceFeed extends EventEmitter {
  constructor() {
    super();
    // The bug's accomplice: somebody silenced MaxListenersExceededWarning.
    this.setMaxListeners(0);
  }

  watch(sku) {
    const quote = new Quote(sku);
    // The bug: no `off` when the visit ends. The listener keeps its quote.
    this.on('price', function updateQuote(changed, price) {
      if (changed === quote.sku) quote.price = price;
    });
    return quote;
  }
}

// ---- Leak 3, the native one: malloc's memory, of which no heap snapshot knows. --------------------------

/** The addon, or a stand-in that forgets Buffers as the addon forgets what it got from malloc. */
function loadAddon() {
  try {
    return require('./thumbnails.node');
  } catch {
    const forgotten = [];
    return (color) => forgotten.push(Buffer.allocUnsafeSlow(2048).fill(color));
  }
}

const makeThumbnail = loadAddon();

function thumbnail(number) {
  // The bug is in thumbnails.c.
  return makeThumbnail(number % 256);
}

// ---- Healthy: a cache that is bounded but wavers, so one larger count proves nothing. -------------------

class RenderedPage {
  constructor(key) {
    this.key = key;
    this.html = Buffer.from(`<article id="${key}">${'lorem ipsum '.repeat(60)}</article>`).toString('latin1');
  }
}

class PageCache {
  constructor(limit, evicted) {
    this.limit = limit;
    this.evicted = evicted;
    this.pages = new Map();
  }

  /** Least recently used pages go first, a batch at a time. */
  get(key) {
    const page = this.pages.get(key) ?? new RenderedPage(key);
    this.pages.delete(key);
    this.pages.set(key, page);
    if (this.pages.size > this.limit) {
      const oldest = this.pages.keys();
      for (let i = 0; i < this.evicted; i++) this.pages.delete(oldest.next().value);
    }
    return page;
  }
}

// ---- Healthy: a ring of the last requests, full after the warm-up. --------------------------------------

class LogEntry {
  constructor(number, user) {
    this.number = number;
    this.message = `visit ${number} by ${user}`;
  }
}

class RecentLog {
  constructor(capacity) {
    this.capacity = capacity;
    this.entries = [];
  }

  add(entry) {
    this.entries[entry.number % this.capacity] = entry;
  }
}

// ---- The shop. ------------------------------------------------------------------------------------------

class Shop {
  constructor() {
    this.visits = 0;
    this.sessions = new SessionStore();
    this.feed = new PriceFeed();
    this.pages = new PageCache(400, 180);
    this.log = new RecentLog(500);
  }

  visit() {
    const number = this.visits++;
    const user = `user-${number % 211}`;
    const session = this.sessions.open(number, user);
    this.log.add(new LogEntry(number, user));
    // Every visit wants a page that is not in the cache, as a crawler does.
    this.pages.get(`page-${(number * 7919) % 5003}`);
    thumbnail(number);
    if (number % 4 === 0) this.feed.watch(`sku-${number % 97}`);
    if (number % 10 === 0) this.feed.emit('price', `sku-${number % 97}`, number);
    this.sessions.close(session);
    return number;
  }
}

// ---- HTTP. ----------------------------------------------------------------------------------------------

const shop = new Shop();
const token = randomBytes(16).toString('hex');
const authorization = Buffer.from(`Bearer ${token}`);

function isAllowed(request) {
  const given = Buffer.from(request.headers.authorization ?? '');
  const loopback = ['127.0.0.1', '::ffff:127.0.0.1'].includes(request.socket.remoteAddress);
  return loopback && given.length === authorization.length && timingSafeEqual(given, authorization);
}

function answer(request) {
  if (!isAllowed(request)) return [403, { error: 'loopback and the token only' }];
  if (request.method !== 'POST') return [405, { error: 'POST only' }];
  const url = new URL(request.url, 'http://127.0.0.1');
  if (url.pathname === '/work') return [200, { visit: shop.visit() }];
  if (url.pathname === '/exit') return [200, {}];
  return [404, { error: `nothing at ${url.pathname}` }];
}

const server = http.createServer((request, response) => {
  let status, body;
  try {
    [status, body] = answer(request);
  } catch (error) {
    [status, body] = [500, { error: String(error) }];
  }
  const text = JSON.stringify(body);
  const isLast = status === 200 && request.url === '/exit';
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text, () => isLast && process.exit(0));
});

// One client keeps one connection for as long as it likes.
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port, pid: process.pid, token })}\n`);
});

process.stdin.on('error', () => process.exit(0));
process.stdin.on('close', () => process.exit(0));
process.stdin.resume();
