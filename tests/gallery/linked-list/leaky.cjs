'use strict';
// An undo history without an end: each state refers to the one before.
// expect: {}

const ladder = require('../ladder.cjs');

// fault {
class Editor {
  constructor() {
    this.state = { text: '', previous: null };
  }

  type(text) {
    this.state = { text, previous: this.state };
  }

  undo() {
    if (this.state.previous) this.state = this.state.previous;
  }
}
// } fault

const editor = new Editor();
let edits = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) editor.type(`line ${++edits} of the text`);
  editor.undo();
});
