// The map of the module is emptied now and then.

import ladder from '../ladder.cjs';

const MOST_PROFILES = 180;
const profiles = new Map();

export function profileOf(user) {
  let profile = profiles.get(user);
  if (!profile) {
    if (profiles.size >= MOST_PROFILES) profiles.clear();
    profile = { user, greeting: `Hello, ${user}`, visits: [`first of ${user}`] };
    profiles.set(user, profile);
  }
  return profile;
}

let users = 0;

ladder(() => {
  for (let i = 0; i < 250; i++) profileOf(`user-${++users}`);
});
