'use strict';
// Mails come in faster than they go out.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class MailQueue {
  constructor() {
    this.pending = [];
    this.sent = 0;
  }

  enqueue(mail) {
    this.pending.push(mail);
  }

  drain(most) {
    this.sent += this.pending.splice(0, most).length;
  }
}
// } fault

const queue = new MailQueue();
let mails = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) {
    queue.enqueue({ to: `someone-${++mails}@example.org`, subject: `Invoice ${mails}`, retries: [] });
    if (i % 4 === 0) queue.drain(1);
  }
});
