// A running `twinheap open`, a browser on it, and the command line to compare with.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const top = fileURLToPath(new URL("../../", import.meta.url));
export const TWINHEAP = process.env.TWINHEAP_BIN ?? `${top}target/debug/twinheap`;
export const fixture = (name) => `${top}crates/cli/tests/fixtures/${name}`;
export const TRACE = `${top}crates/native/tests/fixtures/node22-start.heaptrack.zst`;
/** Longer than anything takes on a busy machine. */
export const PATIENCE = 60_000;

/** What the command line says. */
export function cli(...args) {
  return JSON.parse(execFileSync(TWINHEAP, [...args, "--json"], { maxBuffer: 1 << 30, stdio: ["ignore", "pipe", "ignore"] }));
}

export async function open(...files) {
  assert.ok(existsSync(TWINHEAP), `${TWINHEAP} is missing: cargo build -p twinheap-cli`);
  const child = spawn(TWINHEAP, ["open", ...files, "--json", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "ignore"] });
  const line = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
      if (text.includes("\n")) resolve(text);
    });
    child.on("exit", () => reject(new Error("twinheap open ended")));
  });
  const { address } = JSON.parse(line);
  const get = async (path) => (await fetch(address + path)).json();
  for (;;) {
    const { files: states } = await get("api/state");
    if (states.every((file) => file.status === "ready" || file.status === "failed")) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { address, get, close: () => child.kill() };
}

export function browser() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  assert.ok(existsSync(executablePath), "Debian's chromium is missing: cargo xtask setup");
  // The tests may run as root in a container, where Chromium's own sandbox can't be set up.
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

/** A page that fails the test on any error of a script and on anything that its policy stops. */
export async function newPage(instance, options = {}) {
  const context = await instance.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") page.problems.push(message.text());
  });
  return page;
}

/** The table of a name, when it is there and not busy. */
export async function table(page, name) {
  const grid = page.getByRole("treegrid", { name, exact: true });
  await grid.and(page.locator('[aria-busy="false"]')).waitFor();
  await grid.getByRole("row").nth(1).waitFor();
  return grid;
}

/** When nothing is being worked out any more. */
export async function shown(on) {
  await on.locator("main").waitFor();
  const isShown = () =>
    !document.querySelector('.busy, [aria-busy="true"]') &&
    document.querySelector("main h1, main table, main figure, main iframe, main [role=row], main [role=alert]");
  await on.waitForFunction(isShown);
}

/** The texts of a row's cells. */
export async function cells(row) {
  return row.getByRole("gridcell").allInnerTexts();
}

/** Sizes as the page writes them. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${bytes < 0 ? "−" : ""}${unit === 0 ? value : value.toFixed(value >= 99.95 ? 0 : 1)} ${units[unit]}`;
}

export const count = (value) => new Intl.NumberFormat("en-US").format(value);
