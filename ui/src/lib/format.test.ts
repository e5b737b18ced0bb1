import { expect, test } from "vitest";

import { count, distance, many, nodeLabel, percent, seconds, signed, size, visible } from "./format";

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [99_949, "99.9 kB"],
  [99_950, "100 kB"],
  [999_499, "999 kB"],
  [999_500, "1.0 MB"],
  [450_000_000, "450 MB"],
  [-1500, "−1.5 kB"],
  [2 ** 53, "9007 TB"],
])("%d bytes are %s", (bytes, text) => expect(size(bytes)).toBe(text));

test("numbers", () => {
  expect(count(1234567)).toBe("1,234,567");
  expect([many(1, "object"), many(2000, "object")]).toEqual(["1 object", "2,000 objects"]);
  expect(signed(5)).toBe("+5");
  expect(signed(-5000, size)).toBe("−5.0 kB");
  expect(signed(0)).toBe("0");
  expect(percent(1, 3)).toBe("33 %");
  expect(percent(1, 3000)).toBe("<0.1 %");
  expect(percent(0, 0)).toBe("–");
  expect(distance(7)).toBe("7");
  expect(distance(100_000_003)).toBe("–");
  expect(distance(-5)).toBe("–");
  expect(seconds(0.0123)).toBe("12 ms");
  expect(seconds(3.21)).toBe("3.2 s");
  expect(seconds(300)).toBe("5 min 0 s");
});

test("what would do something in a terminal or turn a line around is made visible", () => {
  expect(visible("a\u001b[31mb\n\u202ec")).toBe("a\\u{1b}[31mb\\n\\u{202e}c");
});

test.each([
  ["string", '"x"'],
  ["closure", "x()"],
  ["array", "x[]"],
  ["regexp", "/x/"],
  ["object", "x"],
])("a %s is labelled %s", (type, label) => expect(nodeLabel({ name: "x", type, cut: false })).toBe(label));

test("what has no name is called by its type", () => {
  expect(nodeLabel({ name: "", type: "hidden", cut: false })).toBe("(hidden)");
  expect(nodeLabel({ name: "", type: "synthetic", cut: false, id: 1 })).toBe("(root)");
});
