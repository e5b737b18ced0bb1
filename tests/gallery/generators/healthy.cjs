'use strict';
// Only so many cursors may be open; the oldest is ended.

const ladder = require('../ladder.cjs');

const MOST_CURSORS = 40;

class CursorTable {
  constructor() {
    this.open = new Map();
    this.lastId = 0;
  }

  *rows(table) {
    const page = Array.from({ length: 10 }, (_, at) => `${table} row ${at}`);
    for (const row of page) yield row;
  }

  begin(table) {
    const cursor = this.rows(table);
    cursor.next();
    this.open.set(++this.lastId, cursor);
    if (this.open.size > MOST_CURSORS) this.end(this.open.keys().next().value);
    return this.lastId;
  }

  end(id) {
    this.open.get(id)?.return();
    this.open.delete(id);
  }
}

const cursors = new CursorTable();
let tables = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) {
    const id = cursors.begin(`table ${++tables}`);
    if (i % 3 === 0) cursors.end(id);
  }
});
