'use strict';
// Stands for a file that changes while the server runs.

const phrases = Array.from({ length: 100 }, (_, at) => `phrase number ${at}`);

exports.render = name => `<h1>${name}</h1>${phrases.length}`;
