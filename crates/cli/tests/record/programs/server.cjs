// A server with work for every kind of native memory: buffers, zlib, crypto, workers, HTTP.
'use strict';
const http = require('http');
const zlib = require('zlib');
const crypto = require('crypto');
const { Worker, isMainThread, parentPort } = require('worker_threads');

const kept = [];
function keepsABuffer(size) {
    kept.push(Buffer.alloc(size, 1));
}
function compresses(text) {
    return zlib.gunzipSync(zlib.gzipSync(text)).length;
}
function hashes(text) {
    return crypto.createHash('sha256').update(text).digest('hex');
}
function work() {
    let sum = 0;
    for (let i = 0; i < 20; i++) {
        keepsABuffer(20000 + i);
        const text = 'x'.repeat(10000 + i);
        sum += compresses(text) + hashes(text).length;
    }
    return sum;
}

if (isMainThread) {
    const worker = new Worker(__filename);
    worker.on('message', (sum) => serve(sum));
    worker.on('exit', (code) => process.exitCode ||= code);
} else {
    parentPort.postMessage(work());
}

function serve(expected) {
    const server = http.createServer((request, response) => {
        request.resume();
        request.on('end', () => response.end(String(work())));
    });
    server.listen(0, '127.0.0.1', () => {
        let left = 3;
        const ask = () => {
            const options = { port: server.address().port, host: '127.0.0.1', method: 'POST' };
            const request = http.request(options, (response) => {
                let text = '';
                response.on('data', (piece) => (text += piece));
                response.on('end', () => {
                    if (text !== String(expected)) process.exitCode = 1;
                    if (--left > 0) return ask();
                    server.close();
                    console.log('served');
                });
            });
            request.end(Buffer.alloc(5000, 2));
        };
        ask();
    });
}
