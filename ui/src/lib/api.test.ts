import { afterEach, expect, test, vi } from "vitest";

import { ApiError, get } from "./api";

afterEach(() => {
  vi.unstubAllGlobals();
});

/** What `get` gives for a response whose body is these pieces; an error as a piece ends it. */
async function answer(status: number, pieces: (string | Error)[], signal?: AbortSignal): Promise<unknown> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) {
        if (piece instanceof Error) return controller.error(piece);
        controller.enqueue(new TextEncoder().encode(piece));
      }
      controller.close();
    },
  });
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(body, { status })));
  return get("api/state", signal).catch((error: unknown) => error);
}

test("answers, refusals, and answers that break off", async () => {
  expect(await answer(200, ['{"total":', "3}"])).toEqual({ total: 3 });
  expect(await answer(404, ['{"error":"no such file","hint":"see the list"}'])).toMatchObject({
    message: "no such file",
    hint: "see the list",
  });
  expect(await answer(502, ["<html>"])).toMatchObject({ message: "the server answered with status 502" });
  for (const end of [new TypeError("network error"), ""]) {
    const error = await answer(200, ['{"total":', end]);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ message: "twinheap doesn't answer" });
  }
});

// It was `null` as if that was the answer, kept as such for the way back.
test("an answer that nobody wants any more is none, however much of it is here", async () => {
  const abort = new AbortController();
  abort.abort();
  const gone = new DOMException("gone", "AbortError");
  expect(await answer(200, ['{"total":', gone], abort.signal)).toBe(gone);
});
