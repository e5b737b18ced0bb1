'use strict';
// The history is cut after so many steps.

const ladder = require('../ladder.cjs');

const MOST_STEPS = 150;

class Editor {
  constructor() {
    this.states = [];
  }

  type(text) {
    this.states.push({ text });
    if (this.states.length > MOST_STEPS) this.states.shift();
  }

  undo() {
    this.states.pop();
  }
}

const editor = new Editor();
let edits = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) editor.type(`line ${++edits} of the text`);
  editor.undo();
});
