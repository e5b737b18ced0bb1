// A session store that forgets nobody, compiled by tsc: `leaks` has to name this file and the lines of this file.
//
//   tsc --target es2022 --module commonjs --sourceMap --outDir dist src/server.ts

type Id = string;

interface Session {
  readonly id: Id;
  readonly cart: string[];
}

enum Plan {
  Free,
  Paid,
}

// fault {
export class SessionStore {
  private readonly sessions = new Map<Id, Session>();

  visit(id: Id, plan: Plan = Plan.Free): Session {
    const session: Session = { id, cart: [`welcome, ${Plan[plan]} visitor ${id}`] };
    this.sessions.set(id, session);
    return session;
  }
}
// } fault
