"use strict";

// Serve one user's mailboxes from memory: `node hoodiecrow.js HOST PORT USER PASSWORD [gmail]`.
const hoodiecrow = require("hoodiecrow-imap");

const [host, port, user, password, kind] = process.argv.slice(2);
const plugins = ["ID", "SASL-IR", "AUTH-PLAIN", "NAMESPACE", "IDLE", "ENABLE", "CONDSTORE", "LITERALPLUS", "UNSELECT"];
plugins.push("SPECIAL-USE", "MOVE", "UIDPLUS");

const special = (uses) =>
    Object.fromEntries(Object.entries(uses).map(([name, use]) => [name, { "special-use": `\\${use}` }]));
let folders = special({ Drafts: "Drafts", Sent: "Sent", Trash: "Trash", Junk: "Junk", Archive: "Archive" });

if (kind === "gmail") {
    plugins.push("X-GM-EXT-1", (server) => {
        // The plugin neither offers the extension nor knows threads; here each message is one of its own.
        server.registerCapability("X-GM-EXT-1");
        server.fetchHandlers["X-GM-THRID"] = (_connection, message) => ({ type: "ATOM", value: message["X-GM-MSGID"] });
    });
    const uses = { "All Mail": "All", Drafts: "Drafts", "Sent Mail": "Sent", Spam: "Junk", Starred: "Flagged", Trash: "Trash" };
    folders = { "[Gmail]": { flags: ["\\Noselect"], folders: special(uses) }, Work: {} };
}

hoodiecrow({
    plugins,
    users: { [user]: { password } },
    storage: { INBOX: {}, "": { separator: "/", folders } },
}).listen(Number(port), host);
