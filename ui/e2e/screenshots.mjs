// The pictures of the README: `npm run screenshots -- FOLDER SNAPSHOT… TRACE`, on what `twinheap demo --keep` leaves.
import assert from "node:assert/strict";

import { browser, newPage, open, shown, table } from "./lab.mjs";

const [folder, ...files] = process.argv.slice(2);
assert.ok(folder && files.length > 0, "where to, and of which files?");
const server = await open(...files);
const { files: states } = await server.get("api/state");
const snapshot = states.findLast((file) => file.kind === "js-snapshot")?.id;
const trace = states.findLast((file) => file.kind === "native-trace")?.id;
assert.ok(snapshot !== undefined && trace !== undefined, "a snapshot and a native trace are needed");
const chrome = await browser();

async function take(name, route, colorScheme, act = async () => {}) {
  const page = await newPage(chrome, { colorScheme, viewport: { width: 1280, height: 760 } });
  await page.goto(server.address + route);
  await shown(page);
  await act(page);
  await page.waitForFunction(() => !document.querySelector('.busy, [aria-busy="true"], .waiting'));
  // No pointer over anything.
  await page.mouse.move(0, 0);
  await page.screenshot({ path: `${folder}/${name}.png` });
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

const { suspects } = await server.get(`api/files/${snapshot}/leaks`);
await take("web-start", `?file=${snapshot}`, "light", async (page) => {
  await page.getByRole("region", { name: "Verdict" }).locator("strong").waitFor();
  await page.locator(".tile").first().waitFor();
});
await take("web-summary", `?file=${snapshot}&view=summary&filter=${suspects[0]?.class ?? ""}`, "dark", async (page) => {
  await table(page, "Classes");
  // Behind the class that holds them.
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  await page.locator('[aria-level="2"]').first().waitFor();
  await page.keyboard.press("ArrowRight");
  await table(page, "Retainers");
});
await take("web-comparison", `?file=${snapshot}&view=comparison&base=${states[0].id}`, "light", (page) => table(page, "Comparison"));
await take("web-dominators", `?file=${snapshot}&view=dominators&as=icicle`, "light", (page) => page.locator(".tile").nth(3).waitFor());
const chart = (page) => page.getByRole("slider", { name: "Stretch of time" }).waitFor();
await take("web-native", `?file=${trace}&view=native&by=leaked`, "light", chart);
await take("web-flame", `?file=${trace}&view=flame&by=leaked`, "light", async (page) => {
  await chart(page);
  await page.frameLocator("iframe").getByText("Collapse recursion").waitFor();
});
await chrome.close();
server.close();
