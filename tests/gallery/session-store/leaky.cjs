'use strict';
// Sessions of visitors who never log out.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

class Session {
  constructor(id) {
    this.id = id;
    this.cart = [];
    this.lastSeen = new Date();
  }
}

// fault {
class SessionStore {
  constructor() {
    this.sessions = Object.create(null);
  }

  visit(id) {
    const session = (this.sessions[id] ??= new Session(id));
    session.cart.push(`item of ${id}`);
    return session;
  }

  logOut(id) {
    delete this.sessions[id];
  }
}
// } fault

const store = new SessionStore();
let visitors = 0;

ladder(() => {
  for (let i = 0; i < 250; i++) store.visit(`visitor-${++visitors}`);
});
