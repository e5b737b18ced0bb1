'use strict';
// Answers are remembered for a moment. mem looked at the age when it was asked for the same again, and never threw
// away what nobody asked for again (sindresorhus/mem#14, GHSA-4xcv-9jjx-gfj3, fixed in 4.0.0).
// expect: {"package": "mem", "file": "index.js", "lines": [15, 60]}

const { setTimeout: sleep } = require('node:timers/promises');
const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

class Profile {
  constructor(user) {
    this.user = user;
    this.groups = [`${user}s`, 'everybody'];
  }
}

const ready = load('mem').then(({ default: mem }) => mem(user => new Profile(user), { maxAge: 1 }));

let users = 0;

ladder(async () => {
  const profileOf = await ready;
  for (let i = 0; i < 200; i++) profileOf(`user ${++users}`);
  // Older than the age when this is over, however slow the machine.
  await sleep(20);
});
