'use strict';
// A module keeps what it audited, for ever.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
const trail = [];

function audit(user, action) {
  trail.push({ user: `user-${user}`, action, at: new Date() });
}
// } fault

let user = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) audit(++user, 'login');
});
