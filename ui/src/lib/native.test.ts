import { expect, test } from "vitest";

import { frameName, framePlace, shortName } from "./native";

test.each([
  ["std::vector<int, std::allocator<int>>::push_back(int const&)", "std::vector<>::push_back"],
  ["void std::vector<A<int>>::f<B>(C<D>)", "void std::vector<>::f<>"],
  ["main", "main"],
  ["(anonymous namespace)::f(int)", "(anonymous namespace)::f"],
  ["operator new(unsigned long)", "operator new"],
  ["A::operator()(int)", "A::operator()"],
  ["A::operator<<(int)", "A::operator<<"],
])("%s is %s for short", (name, short) => expect(shortName(name)).toBe(short));

test("a frame says what is known of it", () => {
  expect(frameName({ function: null, module: "/lib/libc.so.6", kind: "unknown" })).toBe("(no symbol) libc.so.6");
  expect(frameName({ function: null, module: null, kind: "unknown" })).toBe("(unknown)");
  expect(frameName({ function: "f<T>(x)", module: null, kind: "js" })).toBe("f<T>(x)");
  expect(framePlace({ function: "f", module: "/a/node", file: "/srv/app.js", line: 7, kind: "js" })).toBe("app.js:7");
});
