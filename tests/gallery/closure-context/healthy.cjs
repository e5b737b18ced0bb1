'use strict';
// What stays and what refers to the past are made by different functions: no common context.

const ladder = require('../ladder.cjs');

function makeConfig(version) {
  return {
    rules: Array.from({ length: 200 }, (_, at) => `rule ${version}/${at}`),
    describe: () => `version ${version}`,
  };
}

class ConfigWatcher {
  constructor() {
    this.current = null;
  }

  reload(version) {
    const previous = this.current;
    const logChange = () => {
      if (previous) process.stderr.write(`replaced ${previous.rules.length} rules\n`);
    };
    if (version < 0) logChange();
    this.current = makeConfig(version);
  }
}

const watcher = new ConfigWatcher();
let version = 0;

ladder(() => {
  for (let i = 0; i < 25; i++) watcher.reload(++version);
});
