"""The messages as the stores' own shells read them: `cqlsh` or `psql`, whichever CHAT4ALL_STORE_SHELL names.

Set CHAT4ALL_SERVER, CHAT4ALL_STORE_SHELL and CHAT4ALL_STORE_AT: `HOST PORT KEYSPACE` of Cassandra, the URL of a
database and a schema of PostgreSQL. Each check is counted, as a test runner would.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid

SERVER = os.environ["CHAT4ALL_SERVER"]
SHELL = os.environ["CHAT4ALL_STORE_SHELL"]
AT = os.environ["CHAT4ALL_STORE_AT"].split()
PATIENCE = 60
TEXTS = ["plain", "family 👨‍👩‍👧‍👦", "你好 مرحبا", "quotes ' \" and \\ backslash", "x" * 4_000]
passed = 0


def check(condition, what):
    global passed
    assert condition, what
    passed += 1
    print(f"test stored: {what} ... ok")


def call(method, path, body=None, token=None, wait=False):
    request = urllib.request.Request(SERVER + path, method=method)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    if wait:
        request.add_header("Prefer", "wait=20")
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, data, timeout=30) as answer:
        return json.loads(answer.read())


def register(name):
    return call("POST", "/auth/register", {"username": f"{name}-{uuid.uuid4().hex[:8]}", "password": "correct horse"})


def rows(conversation):
    """`seq`, time in milliseconds, sender and text of what the shell finds of a conversation, in order."""
    if SHELL == "cqlsh":
        host, port, keyspace = AT
        program = os.path.join(os.path.dirname(sys.executable), "cqlsh")
        query = (
            f"SELECT JSON seq, timestamp, sender_id, content, message_id FROM {keyspace}.messages "
            f"WHERE conversation_id = '{conversation}' AND bucket = 0;"
        )
        output = subprocess.run(
            [program, "--no-color", "--encoding=utf-8", host, port, "-e", "PAGING OFF; " + query],
            capture_output=True, text=True, check=True,
        ).stdout
        found = [json.loads(line.strip()) for line in output.splitlines() if line.strip().startswith("{")]
        return [(row["seq"], row["timestamp"], row["sender_id"], row["content"]) for row in found]
    url, schema = AT
    query = (
        f"COPY (SELECT e.seq, e.time, e.actor, e.content FROM {schema}.message_events e JOIN {schema}.conversations c "
        f"ON c.key = e.conversation WHERE c.id = '{conversation}' ORDER BY e.seq) TO STDOUT WITH (FORMAT csv)"
    )
    output = subprocess.run([shutil.which("psql"), "-X", "-q", url, "-c", query], capture_output=True, text=True, check=True).stdout
    return [(int(seq), int(time), actor, text) for seq, time, actor, text in csv.reader(io.StringIO(output))]


alice, bob = register("alice"), register("bob")
sent = []
for text in TEXTS:
    message = {"recipient_id": bob["user_id"], "content": text}
    sent.append(call("POST", "/v1/messages", message, alice["access_token"], wait=True))
conversation = sent[0]["conversation_id"]
deadline = time.monotonic() + PATIENCE
while len(found := rows(conversation)) < len(TEXTS) and time.monotonic() < deadline:
    time.sleep(0.2)
check([row[0] for row in found] == [message["seq"] for message in sent], f"{SHELL} reads every `seq`, in order")
check([row[3] for row in found] == TEXTS, f"{SHELL} reads each text, byte for byte")
check({row[2] for row in found} == {alice["user_id"]}, f"{SHELL} reads who sent it")
if SHELL == "psql":
    check([row[1] for row in found] == [message["timestamp"] for message in sent], "psql reads when")
print(f"test result: ok. {passed} passed; 0 failed; 0 ignored;")
