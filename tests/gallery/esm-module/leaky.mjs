// A module of the new kind with a map in its scope.
// expect: {"detector": "cache"}

import ladder from '../ladder.cjs';

// fault {
const profiles = new Map();

export function profileOf(user) {
  let profile = profiles.get(user);
  if (!profile) {
    profile = { user, greeting: `Hello, ${user}`, visits: [`first of ${user}`] };
    profiles.set(user, profile);
  }
  return profile;
}
// } fault

let users = 0;

ladder(() => {
  for (let i = 0; i < 250; i++) profileOf(`user-${++users}`);
});
