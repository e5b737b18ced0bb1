'use strict';
// Empty references are swept out.

const ladder = require('../ladder.cjs');

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

  sweep() {
    for (const [name, reference] of this.byName) if (!reference.deref()) this.byName.delete(name);
  }
}

const images = new ImageCache();
let photo = 0;

ladder(() => {
  images.sweep();
  for (let i = 0; i < 300; i++) images.load(`photo-${++photo}.jpg`);
});
