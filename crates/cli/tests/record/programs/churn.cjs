// Makes functions and forgets them while garbage is collected, so that others get their places. Each keeps one buffer
// whose size is in its name. With a number, goes on for so many seconds.
'use strict';
const vm = require('vm');
const { Worker, isMainThread } = require('worker_threads');
const seconds = Number(process.argv[2] || 0);
const kept = [];
let next = 100001;
let garbage = [];

function allocates(size) { kept.push(Buffer.allocUnsafeSlow(size)); }

function makes(size) {
    const name = `keeps_${size}`;
    switch (size % 5) {
        case 0: return new Function('allocates', `return function ${name}(n) { allocates(n); }`)(allocates);
        case 1: return eval(`(function ${name}(n) { return allocates(n) })`);
        case 2: return vm.runInThisContext(`(allocates) => function ${name}(n) { let x = 1; { allocates(n); } return x; }`)(allocates);
        case 3: return vm.compileFunction(`return { ${name}(n) { try { null.x } catch { allocates(n); } } }.${name}`, ['allocates'])(allocates);
        default: return { [name]: eval(`(class { static ${name}(n) { for (const _ of [1]) allocates(n); } }).${name}`) }[name];
    }
}

function hot(object) {
    let sum = 0;
    for (let i = 0; i < 300; i++) sum += object.a + (object.b ?? 0);
    return sum;
}

function round(i) {
    const size = (next += 2);
    makes(size)(size);
    // Compiled, and found wrong.
    hot(i % 7 === 0 ? { b: 'x', a: 1 } : { a: i, b: i });
    garbage.push(Array.from({ length: 50 }, (_, k) => ({ k, text: `t${k}` })));
    if (garbage.length > 40) garbage = [];
    try { JSON.parse('{'); } catch {}
    'abcabc'.replace(/b(c)/g, (all, one) => one + Buffer.from(all).toString('base64'));
    if (globalThis.gc && i % 10 === 0) gc();
    if (globalThis.gc && i % 3 === 0) gc({ type: 'minor' });
}

if (!isMainThread) {
    for (let i = 0; i < 60; i++) round(i);
} else {
    const began = Date.now();
    let i = 0;
    const step = async () => {
        for (let k = 0; k < 50; k++) round(i++);
        // What is kept is no test of memory.
        if (seconds > 0 && kept.length > 500) kept.length = 0;
        await null;
        const isLast = seconds > 0 ? Date.now() - began > seconds * 1000 : i >= 600;
        if (isLast) { console.log(kept.length); process.exit(); }
        if (i % 500 === 50) return new Worker(__filename).once('exit', (code) => { if (code) process.exit(code); step(); });
        setImmediate(step);
    };
    step();
}
