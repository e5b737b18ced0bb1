'use strict';
// Opens the database after the server's end, and looks for every key that it said it had stored.
//
//   node verify.cjs DATABASE END      (keys are 0 to END, exclusive)

const {ClassicLevel} = require('classic-level');
const {key, value} = require('./shared.cjs');

const [database, end] = process.argv.slice(2);
(async () => {
  const db = new ClassicLevel(database, {createIfMissing: false});
  await db.open();
  const wrong = [];
  for (let i = 0; i < Number(end); i++) {
    const got = await db.get(key(i)).catch(() => undefined);
    if (got !== value(i)) wrong.push(`${key(i)} ${got === undefined ? 'is lost' : 'is another'}`);
  }
  await db.close();
  console.log(JSON.stringify({id: 0, keys: Number(end), wrong}));
})();
