'use strict';
// A template is required afresh for each reload: the parent module remembers all copies as its children.
// expect: {"detector": "module-copies"}

const ladder = require('../ladder.cjs');

// fault {
function loadTemplate() {
  const file = require.resolve('./template.cjs');
  delete require.cache[file];
  return require(file);
}
// } fault

ladder(() => {
  for (let i = 0; i < 30; i++) loadTemplate().render('home');
});
