'use strict';
// A log as one text that only gets longer.
// expect: {"detector": "string-ropes"}

const ladder = require('../ladder.cjs');

// fault {
class Transcript {
  constructor() {
    this.text = '';
  }

  say(who, what) {
    this.text += `${who}: ${what}\n`;
  }
}
// } fault

const transcript = new Transcript();
let lines = 0;

ladder(() => {
  for (let i = 0; i < 500; i++) transcript.say(`guest-${++lines % 10}`, `remark number ${lines} of the evening`);
});
