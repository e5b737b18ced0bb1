'use strict';
// A ring: the newest entries replace the oldest.

const ladder = require('../ladder.cjs');

const MOST_ENTRIES = 250;
const trail = new Array(MOST_ENTRIES);
let next = 0;

function audit(user, action) {
  trail[next++ % MOST_ENTRIES] = { user: `user-${user}`, action, at: new Date() };
}

let user = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) audit(++user, 'login');
});
