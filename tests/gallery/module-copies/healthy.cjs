'use strict';
// The template is loaded once, and made anew only when it changed.

const ladder = require('../ladder.cjs');

let template;

function loadTemplate() {
  template ??= require('./template.cjs');
  return template;
}

ladder(() => {
  for (let i = 0; i < 30; i++) loadTemplate().render('home');
});
