'use strict';
// Each page view stops listening when the visitor leaves.

const ladder = require('../ladder.cjs');

const channel = new EventTarget();

class PageView {
  constructor(url) {
    this.url = url;
    this.fragments = [`<header>${url}</header>`, `<footer>${url}</footer>`];
    this.listener = event => this.update(event);
  }

  follow(target) {
    target.addEventListener('message', this.listener);
  }

  leave(target) {
    target.removeEventListener('message', this.listener);
  }

  update(event) {
    this.fragments.push(String(event.type));
  }
}

let views = 0;
const open = [];

ladder(() => {
  for (let i = 0; i < 200; i++) {
    const view = new PageView(`/articles/${++views}`);
    view.follow(channel);
    open.push(view);
    if (open.length > 40) open.shift().leave(channel);
  }
});
