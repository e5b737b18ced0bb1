'use strict';
// Parsed reports, each with its own copy of the same texts.
// expect: {"detector": "cache", "evidence": "one copy would save"}

const ladder = require('../ladder.cjs');

// fault {
class WeatherArchive {
  constructor() {
    this.reports = [];
  }

  receive(body) {
    this.reports.push(JSON.parse(body));
  }
}
// } fault

const archive = new WeatherArchive();
let hours = 0;

function fetchReport() {
  return JSON.stringify({
    hour: ++hours,
    station: 'Observatory on the hill above the harbour, eastern tower',
    forecast: 'Partly cloudy with a slight chance of showers in the afternoon',
  });
}

ladder(() => {
  for (let i = 0; i < 250; i++) archive.receive(fetchReport());
});
