"use strict";

// Send messages over one connection: standard input has the transport and the messages as JSON; prints what the server
// said to each, or how it refused it.
const fs = require("fs");
const nodemailer = require("nodemailer");

async function main() {
    const { transport, messages } = JSON.parse(fs.readFileSync(0, "utf8"));
    const client = nodemailer.createTransport({ ...transport, pool: true, maxConnections: 1 });
    for (const message of messages) {
        try {
            const { response } = await client.sendMail(message);
            console.log(JSON.stringify({ response }));
        } catch (error) {
            console.log(JSON.stringify({ code: error.responseCode, response: error.response }));
        }
    }
    client.close();
}

main();
