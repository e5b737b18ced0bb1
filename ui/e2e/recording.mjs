// Recordings as heaptrack writes them, of a program that is made up.
import { writeFileSync } from "node:fs";

/** Bytes of a block, so that a thousand blocks are worth telling. */
const BLOCK = 512;
const hex = (number) => number.toString(16);

/** A program whose functions `remember` and `fill_cache` have so many blocks after each tenth of a second. */
export function writeRecording(path, command, ticks) {
  const lines = ["v 10400 2", `X ${command}`, "I 1000 4000"];
  for (const text of ["/lib/libc.so.6", "strdup", "/srv/app", "/srv/app.c", "remember", "fill_cache"]) lines.push(`s ${text}`);
  // Place 1 is strdup, the others are the functions' calls of it.
  lines.push("i 7000 1 2", "i 400 3 5 4 a", "i 500 3 6 4 b");
  for (const at of [0, 1]) lines.push(`t ${hex(2 + at)} 0`, `t 1 ${hex(2 * at + 1)}`, `a ${hex(BLOCK)} ${hex(2 * at + 2)}`);
  const alive = [0, 0];
  for (const [tick, wanted] of ticks.entries()) {
    lines.push(`c ${hex(tick * 100)}`);
    for (const at of [0, 1]) {
      for (; alive[at] < wanted[at]; alive[at] += 1) lines.push(`+ ${at}`);
      for (; alive[at] > wanted[at]; alive[at] -= 1) lines.push(`- ${at}`);
    }
  }
  lines.push(`c ${hex(ticks.length * 100)}`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** Remembers ten more with each tick, from so many on; the cache wavers. */
export const growing = (from) => Array.from({ length: 60 }, (_, tick) => [from + 10 * tick, 50 + 40 * (tick % 5)]);
