'use strict';
// Translations are loaded when they are first asked for: growth that ends.

const ladder = require('../ladder.cjs');

const LANGUAGES = 260;

class Translations {
  constructor() {
    this.byLanguage = new Map();
  }

  get(language) {
    let texts = this.byLanguage.get(language);
    if (!texts) {
      texts = Array.from({ length: 10 }, (_, at) => `${language}, text ${at}`);
      this.byLanguage.set(language, texts);
    }
    return texts;
  }
}

const translations = new Translations();
let asked = 0;

ladder(step => {
  const wanted = [150, 240, LANGUAGES, LANGUAGES][step];
  for (; asked < wanted; asked++) translations.get(`language ${asked}`);
  for (let i = 0; i < LANGUAGES; i++) translations.get(`language ${i % asked}`);
});
