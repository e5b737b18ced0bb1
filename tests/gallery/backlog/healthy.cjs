'use strict';
// The queue drains as fast as it fills; its length wavers with the load.

const ladder = require('../ladder.cjs');

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

const queue = new MailQueue();
let mails = 0;

ladder(step => {
  for (let i = 0; i < 400; i++) {
    queue.enqueue({ to: `someone-${++mails}@example.org`, subject: `Invoice ${mails}`, retries: [] });
  }
  queue.drain(queue.pending.length - [350, 120, 380, 200][step]);
});
