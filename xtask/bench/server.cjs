'use strict';
// An HTTP server with the kinds of work whose memory is native: sockets, headers, buffers, hashes, compression.
//
//   node server.cjs
//
// It prints its process's number and port as a line of JSON, and ends when it is asked for /end.

const crypto = require('node:crypto');
const http = require('node:http');
const zlib = require('node:zlib');

/** What lasts: a cache of bodies, the oldest of which goes when a new one comes. */
const cache = new Map();
const CACHED = 2_000;
let count = 0;

const server = http.createServer((request, response) => {
  if (request.url === '/end') {
    response.end('over', () => process.exit(0));
    return;
  }
  const number = count++;
  const body = Buffer.alloc(2_000 + (number % 7) * 1_000, number & 255);
  const digest = crypto.createHash('sha256').update(body).digest('hex');
  cache.set(number, body);
  cache.delete(number - CACHED);
  const answer = {number, digest, items: Array.from({length: 20}, (_, at) => ({at, text: `item ${at} of ${number}`}))};
  const text = JSON.stringify(answer);
  const bytes = number % 8 === 0 ? zlib.deflateSync(text) : Buffer.from(text);
  response.writeHead(200, {'content-type': 'application/json', 'content-length': bytes.length});
  response.end(bytes);
});

server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({pid: process.pid, port: server.address().port}));
});
