'use strict';
// The log is handed on and starts afresh when it is long enough.

const ladder = require('../ladder.cjs');

const MOST_CHARACTERS = 8_000;

class Transcript {
  constructor() {
    this.text = '';
  }

  say(who, what) {
    if (this.text.length > MOST_CHARACTERS) this.text = '';
    this.text += `${who}: ${what}\n`;
  }
}

const transcript = new Transcript();
let lines = 0;

ladder(() => {
  for (let i = 0; i < 500; i++) transcript.say(`guest-${++lines % 10}`, `remark number ${lines} of the evening`);
});
