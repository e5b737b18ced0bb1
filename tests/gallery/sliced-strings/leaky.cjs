'use strict';
// The title of each document is a slice of its text, which therefore stays.
// expect: {"detector": "sliced-strings"}

const ladder = require('../ladder.cjs');

// fault {
class DocumentCatalog {
  constructor() {
    this.titles = [];
  }

  add(text) {
    const end = text.indexOf('\n');
    this.titles.push(text.slice(0, end));
  }
}
// } fault

const catalog = new DocumentCatalog();

function fetchDocument(number) {
  const text = `The title of document number ${number}\n` + 'lorem ipsum dolor sit amet '.repeat(200);
  return Buffer.from(text).toString('latin1');
}

let documents = 0;

ladder(() => {
  for (let i = 0; i < 100; i++) catalog.add(fetchDocument(++documents));
});
