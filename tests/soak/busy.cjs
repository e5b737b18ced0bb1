'use strict';
// What keeps malloc busy: pictures, compression, keys, buffers, WebAssembly, errors, threads that come and go.
// Each answer can be known beforehand, by the rules in shared.cjs.

const crypto = require('node:crypto');
const path = require('node:path');
const {promisify} = require('node:util');
const {Worker} = require('node:worker_threads');
const zlib = require('node:zlib');
const sharp = require('sharp');
const {PICTURE_SIDE, bufferSize, text} = require('./shared.cjs');

const [gzip, gunzip] = [zlib.gzip, zlib.gunzip].map((call) => promisify(call));
const [brotli, unbrotli] = [zlib.brotliCompress, zlib.brotliDecompress].map((call) => promisify(call));
const [scrypt, randomFill] = [crypto.scrypt, crypto.randomFill].map((call) => promisify(call));

/** A picture and back: the pixels of a text, by way of PNG, and a smaller one that nobody looks at. */
async function picture(seed) {
  const pixels = Buffer.from(text(seed, PICTURE_SIDE * PICTURE_SIDE * 3));
  const raw = {raw: {width: PICTURE_SIDE, height: PICTURE_SIDE, channels: 3}};
  const [png] = await Promise.all([
    sharp(pixels, raw).png({compressionLevel: 2}).toBuffer(),
    sharp(pixels, raw).resize(PICTURE_SIDE / 2).rotate(90).jpeg().toBuffer(),
  ]);
  return (await sharp(png).raw().toBuffer()).toString('latin1');
}

async function zip(seed, count) {
  const packed = await brotli(await gzip(text(seed, count)), {
    params: {[zlib.constants.BROTLI_PARAM_QUALITY]: 3},
  });
  return (await gunzip(await unbrotli(packed))).toString();
}

async function keys(seed, count) {
  const salt = await randomFill(Buffer.allocUnsafe(16));
  const key = await scrypt(String(seed), salt, 32, {N: 1024});
  const cipher = crypto.createCipheriv('aes-256-gcm', key, salt);
  const sealed = Buffer.concat([cipher.update(text(seed, count)), cipher.final()]);
  const decipher = crypto.createDecipheriv('aes-256-gcm', key, salt).setAuthTag(cipher.getAuthTag());
  const opened = Buffer.concat([decipher.update(sealed), decipher.final()]);
  const {privateKey, publicKey} = crypto.generateKeyPairSync('ec', {namedCurve: 'P-256'});
  const signature = crypto.sign('sha256', opened, privateKey);
  if (!crypto.verify('sha256', opened, publicKey, signature)) throw new Error('a signature is wrong');
  return opened.toString();
}

/** Buffers of all sizes and ages: most go at once, some after others have come. */
const kept = new Array(64);
function buffers(seed, count) {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const size = bufferSize(seed, i);
    const buffer = i % 2 ? Buffer.allocUnsafeSlow(size).fill(i) : Buffer.alloc(size, i);
    const moved = structuredClone(buffer.buffer, {transfer: i % 5 === 0 ? [buffer.buffer] : []});
    if (i % 8 === 0) kept[(seed + i) % kept.length] = moved;
    total += moved.byteLength;
  }
  return String(total);
}

/** One page of memory, `load(address)`, and `add(a, b)`. */
const MODULE = Buffer.from(
  '0061736d01000000010c0260017f017f60027f7f017f03030200010503010001071403036d656d0200046c6f6164000003616464' +
    '00010a1102070020002802000b0700200020016a0b',
  'hex',
);

async function wasm(seed, count) {
  const {instance} = await WebAssembly.instantiate(MODULE);
  const {mem, load, add} = instance.exports;
  mem.grow(1 + (seed % 8));
  new Uint32Array(mem.buffer)[3] = seed;
  // V8 learns of this by a signal, if it does not check each access.
  if (!fails(() => load(mem.buffer.byteLength))) throw new Error('no trap');
  return String(add(load(12), count));
}

function fails(call) {
  try {
    call();
    return false;
  } catch {
    return true;
  }
}

/** Errors of every kind; the first one is thrown in C++. */
async function errors() {
  const rejected = await Promise.allSettled([
    sharp(Buffer.from('no picture at all')).metadata(),
    sharp(Buffer.from('GIF89a and no more')).toBuffer(),
    gunzip(Buffer.from('not compressed')),
    WebAssembly.compile(Buffer.from('not a module')),
    Promise.resolve().then(() => JSON.parse('{')),
  ]);
  const thrown = [
    () => crypto.createCipheriv('no-such-cipher', '', ''),
    () => Buffer.alloc(2 ** 60),
    () => structuredClone(() => {}),
    () => deeper(),
  ];
  const count = rejected.filter(({status}) => status === 'rejected').length;
  return `${count} rejected, ${thrown.filter(fails).length} thrown`;
}

/** Until the stack is full. */
function deeper() {
  return deeper() + 1;
}

/** A thread that ends in one of four ways, right after its answer or in the middle of its work. */
function thread(seed, count) {
  const way = ['return', 'exit', 'throw', 'terminate'][seed % 4];
  const worker = new Worker(path.join(__dirname, 'visitor.cjs'), {workerData: {seed, count, way}});
  return new Promise((resolve, reject) => {
    let answer;
    worker.once('message', (got) => {
      answer = got;
      if (way === 'terminate') worker.terminate();
    });
    worker.once('error', (error) => error.message !== 'as agreed' && reject(error));
    worker.once('exit', () => (answer === undefined ? reject(new Error(`no answer before ${way}`)) : resolve(answer)));
  });
}

module.exports = {
  '/picture': picture,
  '/zip': zip,
  '/keys': keys,
  '/buffers': buffers,
  '/wasm': wasm,
  '/errors': errors,
  '/thread': thread,
};
