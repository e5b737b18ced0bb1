// A process to take snapshots of. Each line of its input is JavaScript, and is answered with a line of JSON.
// Its argument says what it holds: { workers, objects }.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { createHash } = require('crypto');

const options = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const thread = options.thread ?? 'main';

// Each isolate has one object of a class that no other has.
globalThis.marker = new (eval(`(class In_${thread} {})`))();

class Survivor { constructor(i) { this.i = i; this.text = 'survivor ' + i; } }
globalThis.survivors = Array.from({ length: options.objects ?? 1000 }, (_, i) => new Survivor(i));
class Leaked { constructor(i) { this.i = i; } }
globalThis.leak = [];
globalThis.grow = (count) => { while (count-- > 0) leak.push(new Leaked(leak.length)); return leak.length; };

// Secrets are made, so that none stands in a source.
class Keeper {}
globalThis.plant = (seed) => {
  const planted = [];
  const secret = (what) => {
    const text = createHash('sha256').update(seed + what).digest('hex').slice(0, 24);
    planted.push(text);
    return text;
  };
  const keeper = globalThis.keeper = new Keeper();
  keeper.plain = 'p' + secret('plain');
  keeper.json = JSON.parse(JSON.stringify({ token: secret('json'), list: [secret('list')] }));
  keeper.url = `https://user:${secret('url pw')}@host/?token=${secret('url token')}`;
  keeper.map = new Map([[secret('map key'), { a: secret('map value') }]]);
  keeper.template = `a ${secret('template')} b`;
  keeper.wide = '\u03a9"\\' + secret('wide');
  keeper.regexp = new RegExp('^' + secret('regexp') + '$');
  keeper.closure = ((kept) => () => kept)(secret('closure'));
  keeper.number = 700000000 + parseInt(secret('number').slice(0, 6), 16);
  planted.push(String(keeper.number));
  return planted;
};

// So does a stopped event loop show, whatever stopped it.
globalThis.watchDelays = () => {
  globalThis.delays = require('perf_hooks').monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
};

function start(name, settings) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { name, workerData: settings });
    worker.once('message', () => resolve(worker));
    worker.once('error', reject);
  });
}

async function main() {
  if (!isMainThread) {
    if (options.nested) await start('discv5', { thread: 'discv5', objects: 10 });
    globalThis.require = require;
    parentPort.on('message', (javascript) => (0, eval)(javascript));
    parentPort.postMessage('ready');
    return;
  }
  const objects = options.workerObjects ?? 10;
  if (options.workers) {
    globalThis.network = await start('network', { thread: 'network', nested: true, objects });
    await start(undefined, { thread: 'unnamed', objects: 10 });
  }
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const result = (0, eval)(line);
    process.stdout.write(JSON.stringify(result ?? null) + '\n');
  }).on('close', () => process.exit()); // A test that was killed leaves nobody behind.
  globalThis.require = require;
  process.stdout.write('"ready"\n');
}

main();
