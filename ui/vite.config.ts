import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const out = process.env["TWINHEAP_UI_OUT"] ?? "dist";
/** For `npm run dev`: the address that a running `twinheap open` printed. */
const server = process.env["TWINHEAP_ADDRESS"];

/** Compresses what is served, once: the program embeds both. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  // The page lives below a random token.
  base: "./",
  plugins: [react(), compressed()],
  server: server
    ? {
        host: "127.0.0.1",
        proxy: {
          "/api": {
            target: new URL(server).origin,
            changeOrigin: true,
            rewrite: (path) => new URL(server).pathname.replace(/\/$/, "") + path,
          },
        },
      }
    : {},
  build: {
    outDir: out,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
