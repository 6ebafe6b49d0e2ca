"""A client of the public API in Python: HTTP from the standard library, sockets by `websockets`.

It knows nothing of the server but its documentation. Each check is counted, as a test runner would.
"""

import asyncio
import json
import uuid

import websockets
from api import SERVER, Checks, answer, register

SOCKET = SERVER.replace("http", "ws", 1) + "/ws"
TEXTS = [
    "plain",
    "family 👨‍👩‍👧‍👦 flag 🏳️‍🌈 skin 👍🏽",
    "你好，世界 こんにちは 안녕하세요",
    "مرحبا بالعالم שלום עולם \u202bmixed\u202c",
    "e\u0301 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!",
    "tab\tnewline\nquote\" backslash\\ </script>",
    "😀" * 16_384,
]
check = Checks("python")


async def events(socket, count, seen):
    """Reads until `count` events of the log have come; gives the newest cursor."""
    cursor = None
    while len(seen) < count:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 20))
        cursor = frame.get("cursor", cursor)
        if "seq" in frame:
            seen.append(frame)
    return cursor


async def until(socket, kind):
    while True:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 20))
        if frame["type"] == kind:
            return frame


async def main():
    alice, bob, eve = register("alice"), register("bob"), register("eve")
    a, b = alice["access_token"], bob["access_token"]
    status, group = answer("POST", "/v1/conversations", {"type": "group", "name": "Python", "participant_ids": [bob["user"]["user_id"]]}, a)
    check(status == 201, "a group is made")
    conversation = group["conversation_id"]

    socket = await websockets.connect(f"{SOCKET}?token={b}", max_size=None)
    check((await until(socket, "hello"))["user_id"] == bob["user"]["user_id"], "hello says who I am")
    cursor = (await until(socket, "live"))["cursor"]
    seen = []
    for text in TEXTS:
        status, accepted = answer("POST", "/v1/messages", {"conversation_id": conversation, "content": text}, a)
        assert status == 202 and accepted["status"] == "SENT", accepted
    cursor = await events(socket, len(TEXTS), seen) or cursor
    check([frame["content"] for frame in seen] == TEXTS, "every text comes back byte for byte, in order")
    check([frame["seq"] for frame in seen] == list(range(2, 2 + len(TEXTS))), "seq is dense")
    await socket.send(json.dumps({"type": "ping", "id": "p"}))
    cursor = (await until(socket, "pong"))["cursor"]
    await socket.close()

    first = seen[0]["message_id"]
    status, _ = answer("PATCH", f"/v1/conversations/{conversation}/messages/{first}", {"content": "edited"}, a)
    check(status == 200, "an edit answers its outcome")
    status, _ = answer("DELETE", f"/v1/messages/{seen[1]['message_id']}", token=a)
    check(status in (200, 204), "a deletion answers its outcome")
    body = {"conversation_id": conversation, "content": "once"}
    one = answer("POST", "/v1/messages", body, a, Idempotency_Key="k1")
    two = answer("POST", "/v1/messages", body, a, Idempotency_Key="k1")
    check(one == two and one[0] == 202, "a retry with the same key is the same message")
    status, problem = answer("POST", "/v1/messages", {**body, "content": "other"}, a, Idempotency_Key="k1")
    check((status, problem["code"]) == (422, "idempotency_key_reused"), "the same key with other content is refused")

    socket = await websockets.connect(SOCKET + f"?cursor={cursor}", subprotocols=["chat4all", b], max_size=None)
    check(socket.subprotocol == "chat4all", "the subprotocol is answered")
    missed = []
    await events(socket, 3, missed)
    check([e["type"] for e in missed] == ["MESSAGE_UPDATED", "MESSAGE_DELETED", "NEW_MESSAGE"], "what was missed comes on resuming, edits and deletions included")
    check([e["seq"] for e in missed] == [seen[-1]["seq"] + i for i in (1, 2, 3)], "nothing twice, nothing left out")
    await socket.send("not json")
    check((await until(socket, "error"))["code"] == "invalid_request", "rubbish is answered, not cut off")
    await socket.send(json.dumps({"type": "send", "id": "7", "client_id": "c7", "conversation_id": conversation, "content": "from the socket"}))
    ack = await until(socket, "ack")
    check(ack["id"] == "7" and ack["status"] == "SENT", "a send on the socket is acknowledged")
    await socket.close()

    status, page = answer("GET", f"/v1/conversations/{conversation}/messages?limit=50", token=a, Chat4All_Position="")
    if status != 200:
        status, page = answer("GET", f"/v1/conversations/{conversation}/messages?limit=50", token=a)
    contents = [m["content"] for m in reversed(page["messages"])]
    check(contents[:2] == ["edited", None] and contents[2:len(TEXTS)] == TEXTS[2:], "history shows the edit and the deletion")
    status, problem = answer("GET", f"/v1/conversations/{conversation}", token=eve["access_token"])
    check((status, problem["code"]) == (404, "not_found"), "a stranger sees nothing")
    check.result()


asyncio.run(main())
