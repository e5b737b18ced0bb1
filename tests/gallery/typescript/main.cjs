'use strict';
// node main.cjs FOLDER STORE: visitors come to the SessionStore of the compiled script STORE.

const { SessionStore } = require(process.argv[3]);
const ladder = require('../ladder.cjs');

const store = new SessionStore();
let visitors = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) store.visit(`visitor-${++visitors}`);
});
