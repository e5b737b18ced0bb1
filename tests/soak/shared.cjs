'use strict';
// What server and load must agree on, so that every answer can be checked.

const {createHash} = require('node:crypto');

/** A text of `size` characters that only `seed` can have. */
function text(seed, size) {
  const word = createHash('sha1').update(String(seed)).digest('hex');
  return word.repeat(Math.ceil(size / word.length)).slice(0, size);
}

/** What is stored under the key with this number. */
const key = (number) => `key-${String(number).padStart(9, '0')}`;
const value = (number) => text(`value ${number}`, 100 + (number % 7) * 150);

/** What adding up `count` made objects gives. */
function sum(seed, count) {
  let total = 0;
  for (let i = 0; i < count; i++) total += (seed + i) % 97;
  return total;
}

/** Width and height of pictures, in pixels. */
const PICTURE_SIDE = 64;

/** The size of a request's buffer with this number, in bytes. */
const bufferSize = (seed, number) => ((seed + number) * 2_654_435_761) % 60_000;

/** How many errors of each kind a request for errors makes, in words. */
const ERRORS = '5 rejected, 4 thrown';

/** Calls `handle` with each line of JSON that arrives on standard input. Whoever is left alone ends. */
function listen(handle) {
  const lines = require('node:readline').createInterface({input: process.stdin});
  lines.once('close', () => process.exit(1));
  lines.on('line', (line) => {
    const {id, ...command} = JSON.parse(line);
    Promise.resolve(handle(command)).then(
      (answer) => say({id, ...answer}),
      (error) => say({id, error: error.stack}),
    );
  });
  /** Listens no more, so that the process can end by itself. */
  return function finish() {
    lines.removeAllListeners('close');
    lines.close();
    process.stdin.destroy();
  };
}

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** The value below which a share of the ascending numbers lie. */
const quantile = (ascending, share) =>
  ascending.length === 0 ? 0 : ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))];

module.exports = {text, key, value, sum, PICTURE_SIDE, bufferSize, ERRORS, listen, say, quantile};
