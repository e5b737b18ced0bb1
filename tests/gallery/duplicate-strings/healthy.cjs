'use strict';
// A day's reports are kept, and equal texts are shared.

const ladder = require('../ladder.cjs');

const MOST_REPORTS = 48;
const texts = new Map();

function shared(text) {
  if (!texts.has(text)) texts.set(text, text);
  return texts.get(text);
}

class WeatherArchive {
  constructor() {
    this.reports = [];
  }

  receive(body) {
    const { hour, station, forecast } = JSON.parse(body);
    this.reports.push({ hour, station: shared(station), forecast: shared(forecast) });
    if (this.reports.length > MOST_REPORTS) this.reports.shift();
  }
}

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
