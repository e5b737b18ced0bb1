'use strict';
// A large working set whose size wavers: most of the heap, and no leak.

const ladder = require('../ladder.cjs');

class FrameBuffer {
  constructor(number) {
    this.name = `frame ${number}`;
    this.lines = Array.from({ length: 20 }, (_, at) => `${this.name}, line ${at}`);
  }
}

class Renderer {
  constructor() {
    this.frames = [];
  }

  render(count) {
    this.frames = Array.from({ length: count }, (_, number) => new FrameBuffer(number));
  }
}

const renderer = new Renderer();

ladder(step => renderer.render([300, 340, 290, 330][step]));
