'use strict';
// Each page view listens for messages on a target that lives as long as the process.
// expect: {"detector": "event-listeners"}

const ladder = require('../ladder.cjs');

const channel = new EventTarget();

// fault {
class PageView {
  constructor(url) {
    this.url = url;
    this.fragments = [`<header>${url}</header>`, `<footer>${url}</footer>`];
  }

  follow(target) {
    target.addEventListener('message', event => this.update(event));
  }

  update(event) {
    this.fragments.push(String(event.type));
  }
}
// } fault

let views = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) new PageView(`/articles/${++views}`).follow(channel);
});
