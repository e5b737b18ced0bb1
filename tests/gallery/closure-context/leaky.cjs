'use strict';
// A closure that nobody calls shares its context with one that stays: each configuration keeps the one before.
// expect: {"detector": "closure-contexts"}

const ladder = require('../ladder.cjs');

// fault {
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
    this.current = {
      rules: Array.from({ length: 200 }, (_, at) => `rule ${version}/${at}`),
      describe: () => `version ${version}`,
    };
  }
}
// } fault

const watcher = new ConfigWatcher();
let version = 0;

ladder(() => {
  for (let i = 0; i < 25; i++) watcher.reload(++version);
});
