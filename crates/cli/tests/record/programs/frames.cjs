// Keeps buffers of sizes that occur once, and prints where V8 itself sees each of them made: one line of JSON.
'use strict';
Error.stackTraceLimit = 60;
const kept = [];
const seen = {};
let next = 200001;

// Both on one line: the innermost frame is compared by it, those around it by line and column.
function block() {
    const size = (next += 2);
    kept.push(Buffer.allocUnsafeSlow(size)), (seen[size] = new Error().stack);
}

function plain() { block(); }
function twice() {
    block();
    if (kept.length > 0) { /* further on in the line */ block(); }
}
class Keeper {
    constructor() { block(); }
    method() { return block(); }
    static still() { [1].forEach(() => block()); }
    get got() { block(); return 1; }
    #secret() { block(); }
    reveal() { this.#secret(); }
}
const arrow = () => block();
const named = { 'a name with spaces': function () { block(); } };
function caught() {
    try { null.x; } catch { block(); }
    try { throw 1; } catch { block(); } finally { block(); }
}
function* generates() { block(); yield 1; block(); }
function closure(text) {
    let count = 0;
    // Its variables are in a context.
    return function inner() { count++; text += '.'; block(); return () => count + text; };
}
function nested(depth) { return depth === 0 ? block() : nested(depth - 1); }
function defaults(x = block()) { return x; }
function sorts() { [3, 1].sort((a, b) => { block(); return a - b; }); }
function replaces() { 'x'.replace(/x/, () => { block(); return ''; }); }
const evaluated = eval('(function evaluated() {\n  return   block(); })');
const made = new Function('block', 'return 1 +\n block()');
// So many constants that operands take two bytes.
const wide = new Function('block', Array.from({ length: 700 }, (_, i) => `let v${i} = 'text ${i}';`).join('\n') +
    '\nblock(); return v1 + v699;');

function all() {
    plain();
    twice();
    const keeper = new Keeper();
    keeper.method();
    Keeper.still();
    keeper.got;
    keeper.reveal();
    arrow();
    named['a name with spaces']();
    caught();
    [...generates()];
    closure('x')();
    nested(3);
    defaults();
    sorts();
    replaces();
    evaluated();
    made(block);
    wide(block);
}

all();
new Promise((resolve) => { block(); resolve(); }).then(() => { block(); });
setImmediate(async function later() {
    await null;
    block();
    console.log(JSON.stringify(seen));
    // Without the end of V8, which frees what is kept.
    process.exit();
});
