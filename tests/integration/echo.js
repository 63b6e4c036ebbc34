// A client of node's ws: says one thing, prints what comes back and the close code. URL TOKEN
const { WebSocket } = require("ws");
const [url, token] = process.argv.slice(2);
const socket = new WebSocket(url, { rejectUnauthorized: false, headers: { Authorization: `Bearer ${token}` } });
socket.on("open", () => socket.send("grüße"));
socket.on("message", (data) => { console.log(data.toString()); socket.close(1000); });
socket.on("close", (code) => { console.log(code); });
socket.on("error", (error) => { console.log(error); process.exit(1); });
