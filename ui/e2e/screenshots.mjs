// The pictures of the README: `npm run screenshots -- FOLDER SNAPSHOT… TRACE`.
import assert from "node:assert/strict";

import { browser, newPage, open } from "./lab.mjs";

const [folder, ...files] = process.argv.slice(2);
assert.ok(folder && files.length > 0, "where to, and of which files?");
const server = await open(...files);
const { files: states } = await server.get("api/state");
const snapshot = states.findLast((file) => file.kind === "js-snapshot")?.id;
const trace = states.findLast((file) => file.kind === "native-trace")?.id;
const chrome = await browser();

async function take(name, route, colorScheme, act = async () => {}) {
  const page = await newPage(chrome, { colorScheme, viewport: { width: 1280, height: 760 } });
  await page.goto(server.address + route);
  await page.waitForFunction(() => document.querySelector("main *") && !document.querySelector('.busy, [aria-busy="true"], .waiting'));
  await act(page);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.context().close();
}

if (snapshot !== undefined) {
  await take("web-start", `?file=${snapshot}`, "light");
  await take("web-summary", `?file=${snapshot}&view=summary`, "dark", async (page) => {
    await page.keyboard.press("ArrowRight");
    await page.locator('[aria-level="2"]').first().waitFor();
    await page.keyboard.press("ArrowRight");
    await page.locator(".pane [role=treegrid]").waitFor();
    await page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .waiting'));
  });
}
if (trace !== undefined) {
  await take("web-native", `?file=${trace}&view=flame`, "light", async (page) => {
    await page.frameLocator("iframe").getByText("Collapse recursion").waitFor();
  });
}
await chrome.close();
server.close();
