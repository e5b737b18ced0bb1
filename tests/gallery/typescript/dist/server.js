"use strict";
// A session store that forgets nobody, compiled by tsc: `leaks` has to name this file and the lines of this file.
//
//   tsc --target es2022 --module commonjs --sourceMap --outDir dist src/server.ts
Object.defineProperty(exports, "__esModule", { value: true });
exports.SessionStore = void 0;
var Plan;
(function (Plan) {
    Plan[Plan["Free"] = 0] = "Free";
    Plan[Plan["Paid"] = 1] = "Paid";
})(Plan || (Plan = {}));
// fault {
class SessionStore {
    sessions = new Map();
    visit(id, plan = Plan.Free) {
        const session = { id, cart: [`welcome, ${Plan[plan]} visitor ${id}`] };
        this.sessions.set(id, session);
        return session;
    }
}
exports.SessionStore = SessionStore;
// } fault
//# sourceMappingURL=server.js.map