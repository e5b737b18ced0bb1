'use strict';
// A memoised function that remembers the last arguments.

const ladder = require('../ladder.cjs');

function memoize(compute, most) {
  const results = new Map();
  return argument => {
    if (!results.has(argument)) {
      if (results.size >= most) results.delete(results.keys().next().value);
      results.set(argument, compute(argument));
    }
    return results.get(argument);
  };
}

const parseUrl = memoize(text => {
  const [path, query] = text.split('?');
  return { path, query, parts: path.split('/') };
}, 400);

let items = 0;

ladder(() => {
  for (let i = 0; i < 250; i++) parseUrl(`/shop/items/${++items}?ref=${i}`);
});
