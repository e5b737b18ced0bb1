'use strict';
// The images go, and their WeakRefs stay under names that nobody asks for again.
// expect: {"detector": "weak-references"}

const ladder = require('../ladder.cjs');

// fault {
class ImageCache {
  constructor() {
    this.byName = new Map();
  }

  load(name) {
    const cached = this.byName.get(name)?.deref();
    if (cached) return cached;
    const image = { name, pixels: new Array(64).fill(0.5) };
    this.byName.set(name, new WeakRef(image));
    return image;
  }
}
// } fault

const images = new ImageCache();
let photo = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) images.load(`photo-${++photo}.jpg`);
});
