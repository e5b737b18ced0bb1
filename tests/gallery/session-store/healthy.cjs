'use strict';
// Sessions expire. How many there are depends on the time of day.

const ladder = require('../ladder.cjs');

class Session {
  constructor(id, now) {
    this.id = id;
    this.cart = [];
    this.lastSeen = now;
  }
}

class SessionStore {
  constructor() {
    this.sessions = Object.create(null);
  }

  visit(id, now) {
    const session = (this.sessions[id] ??= new Session(id, now));
    session.cart.push(`item of ${id}`);
    session.lastSeen = now;
    return session;
  }

  expire(before) {
    for (const id in this.sessions) if (this.sessions[id].lastSeen < before) delete this.sessions[id];
  }
}

const store = new SessionStore();
let visitors = 0;

ladder(step => {
  for (let i = 0; i < 250; i++) store.visit(`visitor-${++visitors}`, visitors);
  store.expire(visitors - [220, 90, 240, 130][step]);
});
