// A client of the public API for Node: fetch, and sockets by `ws`.
const WebSocket = require("ws");
const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");

const server = process.env.CHAT4ALL_SERVER;
const sends = 200;
let passed = 0;

function check(what) {
  passed += 1;
  console.log(`test node: ${what} ... ok`);
}

async function call(method, path, body, token) {
  const headers = { ...(body && { "content-type": "application/json" }), ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(server + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

async function register(name) {
  const { status, body } = await call("POST", "/auth/register", { username: `${name}-${randomUUID().slice(0, 8)}`, password: "correct horse" });
  assert.equal(status, 201);
  return body;
}

/** A socket whose frames are waited for one by one. */
function connect(query, token) {
  const socket = new WebSocket(server.replace("http", "ws") + "/ws" + query, { headers: { authorization: `Bearer ${token}` } });
  const frames = [], waiting = [];
  socket.on("message", (data) => {
    const frame = JSON.parse(data);
    if (waiting.length) waiting.shift()(frame); else frames.push(frame);
  });
  socket.next = () => frames.length ? Promise.resolve(frames.shift()) : new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no frame within 20 s")), 20_000);
    waiting.push((frame) => { clearTimeout(timer); resolve(frame); });
  });
  socket.until = async (type) => { for (;;) { const frame = await socket.next(); if (frame.type === type) return frame; } };
  return socket;
}

async function main() {
  const [alice, bob] = [await register("alice"), await register("bob")];
  const one = connect("", alice.access_token), two = connect("", bob.access_token);
  await one.until("live");
  let cursor = (await two.until("live")).cursor;
  for (let i = 0; i < sends; i += 1) {
    one.send(JSON.stringify({ type: "send", id: `${i}`, client_id: `n${i}`, recipient_id: bob.user.user_id, content: `message ${i}` }));
  }
  const acks = new Set();
  while (acks.size < sends) {
    const frame = await one.next();
    assert.notEqual(frame.type, "error", JSON.stringify(frame));
    if (frame.type === "ack") acks.add(frame.client_id);
  }
  check("pipelined sends are all acknowledged");
  const got = [];
  while (got.length < sends) {
    const frame = await two.next();
    cursor = frame.cursor ?? cursor;
    if (frame.type === "NEW_MESSAGE") got.push(frame);
  }
  assert.deepEqual(got.map((frame) => frame.content), Array.from({ length: sends }, (_, i) => `message ${i}`));
  check("they arrive in the order they were sent");
  two.send(JSON.stringify({ type: "react", id: "r", message_id: got[0].message_id, emoji: "👍" }));
  assert.equal((await two.until("ack")).id, "r");
  assert.equal((await one.until("REACTION_ADDED")).emoji, "👍");
  check("a reaction reaches the other side");
  two.send(JSON.stringify({ type: "ping" }));
  cursor = (await two.until("pong")).cursor;
  two.terminate();
  one.send(JSON.stringify({ type: "send", client_id: "again", recipient_id: bob.user.user_id, content: "while away" }));
  await one.until("ack");
  const back = connect(`?cursor=${encodeURIComponent(cursor)}`, bob.access_token);
  assert.equal((await back.until("NEW_MESSAGE")).content, "while away");
  check("what was missed comes on resuming");
  const forged = new WebSocket(server.replace("http", "ws") + "/ws?token=forged");
  const refused = await new Promise((resolve) => {
    forged.on("unexpected-response", (_, answer) => resolve(answer.statusCode));
    forged.on("close", (code) => resolve(code));
    forged.on("error", () => {});
  });
  assert.ok([401, 4401].includes(refused), `${refused}`);
  check("a forged token opens nothing");
  const { status, body } = await call("GET", "/v1/conversations", undefined, bob.access_token);
  assert.equal(status, 200);
  assert.equal(body.items.length, 1);
  check("the inbox has the one conversation");
  console.log(`test result: ok. ${passed} passed; 0 failed; 0 ignored;`);
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
