import { expect, test } from "vitest";

import { address } from "./api";
import { formatRoute, parseRoute, withParts } from "./route";

test("an address and its parts are the same thing", () => {
  const route = { view: "summary", filter: "a&b=c d/@1", file: "0" };
  expect(parseRoute(formatRoute(route))).toEqual(route);
  expect(formatRoute({ b: "2", a: "1" })).toBe(formatRoute({ a: "1", b: "2" }));
  expect(formatRoute({})).toBe("");
  expect(formatRoute(withParts(route, { filter: "", file: undefined }))).toBe("?view=summary");
});

test("what says nothing is not in a request", () => {
  expect(address("x", { a: "", b: false, c: null, d: undefined, e: 0, f: true })).toBe("api/x?e=0&f=true");
  expect(address("x")).toBe("api/x");
});
