'use strict';
// The title is copied out of the text, and the catalog shows the latest documents only.

const ladder = require('../ladder.cjs');

const MOST_TITLES = 80;

class DocumentCatalog {
  constructor() {
    this.titles = [];
  }

  add(text) {
    const end = text.indexOf('\n');
    this.titles.push(Buffer.from(text.slice(0, end)).toString());
    if (this.titles.length > MOST_TITLES) this.titles.shift();
  }
}

const catalog = new DocumentCatalog();

function fetchDocument(number) {
  const text = `The title of document number ${number}\n` + 'lorem ipsum dolor sit amet '.repeat(200);
  return Buffer.from(text).toString('latin1');
}

let documents = 0;

ladder(() => {
  for (let i = 0; i < 100; i++) catalog.add(fetchDocument(++documents));
});
