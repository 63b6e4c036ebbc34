// Fan-out with node and `ws`: what a client sends to /publish goes to all clients of other paths.
// Usage: node ws.mjs PORT CERTIFICATE KEY
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { WebSocketServer } from "ws";

const [port, certificate, key] = process.argv.slice(2);
const subscribers = new Set();
const http = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
const server = new WebSocketServer({ server: http, perMessageDeflate: false, backlog: 4096 });

server.on("connection", (client, request) => {
    client.on("error", () => {}); // a client that goes without a close frame
    if (request.url === "/publish") {
        client.on("message", (message) => {
            for (const subscriber of subscribers) {
                subscriber.send(message, { binary: false });
            }
        });
        return;
    }
    subscribers.add(client);
    client.on("close", () => subscribers.delete(client));
});
http.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
