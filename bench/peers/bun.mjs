// Fan-out with Bun's own publish: what a client sends to /publish goes to all clients of other paths.
// Usage: bun bun.mjs PORT CERTIFICATE KEY
const [port, certificate, key] = process.argv.slice(2);

const server = Bun.serve({
    port: Number(port),
    hostname: "127.0.0.1",
    tls: { cert: Bun.file(certificate), key: Bun.file(key) },
    fetch(request, server) {
        const is_publisher = new URL(request.url).pathname === "/publish";
        return server.upgrade(request, { data: { is_publisher } })
            ? undefined
            : new Response("a WebSocket is expected here\n", { status: 426 });
    },
    websocket: {
        perMessageDeflate: false,
        idleTimeout: 960,
        open(client) {
            if (!client.data.is_publisher) {
                client.subscribe("bench");
            }
        },
        message(client, message) {
            server.publish("bench", message);
        },
    },
});
