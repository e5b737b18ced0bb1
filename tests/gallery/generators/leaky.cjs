'use strict';
// Cursors that a client began to read and never read to the end.
// expect: {"detector": "pending-promises"}

const ladder = require('../ladder.cjs');

// fault {
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
    return this.lastId;
  }

  end(id) {
    this.open.get(id)?.return();
    this.open.delete(id);
  }
}
// } fault

const cursors = new CursorTable();
let tables = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) {
    const id = cursors.begin(`table ${++tables}`);
    if (i % 3 === 0) cursors.end(id);
  }
});
