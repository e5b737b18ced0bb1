'use strict';
// A memoised function remembers every argument it ever got.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
function memoize(compute) {
  const results = new Map();
  return argument => {
    if (!results.has(argument)) results.set(argument, compute(argument));
    return results.get(argument);
  };
}

const parseUrl = memoize(text => {
  const [path, query] = text.split('?');
  return { path, query, parts: path.split('/') };
});
// } fault

let items = 0;

ladder(() => {
  for (let i = 0; i < 250; i++) parseUrl(`/shop/items/${++items}?ref=${i}`);
});
