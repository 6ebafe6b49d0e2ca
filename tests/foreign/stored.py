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

from api import Checks, call, register

SHELL = os.environ["CHAT4ALL_STORE_SHELL"]
AT = os.environ["CHAT4ALL_STORE_AT"].split()
PATIENCE = 60
TEXTS = ["plain", "family 👨‍👩‍👧‍👦", "你好 مرحبا", "quotes ' \" and \\ backslash", "x" * 4_000]
check = Checks("stored")


def rows(conversation):
    """`seq`, time in milliseconds, sender and text of what the shell finds of a conversation, in order."""
    if SHELL == "cqlsh":
        host, port, keyspace = AT
        # It shows a text with its backslashes doubled: the bytes are asked for.
        program = os.path.join(os.path.dirname(sys.executable), "cqlsh")
        query = (
            f"SELECT JSON seq, timestamp, sender_id, text_as_blob(content) AS content FROM {keyspace}.messages "
            f"WHERE conversation_id = '{conversation}' AND bucket = 0 ORDER BY seq;"
        )
        output = subprocess.run(
            [program, "--no-color", "--encoding=utf-8", host, port, "-e", "PAGING OFF; " + query],
            capture_output=True, text=True, check=True,
        ).stdout
        found = [json.loads(line.strip()) for line in output.splitlines() if line.strip().startswith("{")]
        return [(row["seq"], row["timestamp"], row["sender_id"], bytes.fromhex(row["content"][2:]).decode()) for row in found]
    url, schema = AT
    query = (
        f"COPY (SELECT e.seq, e.time, e.actor, e.content FROM {schema}.message_events e JOIN {schema}.conversations c "
        f"ON c.key = e.conversation WHERE c.id = '{conversation}' ORDER BY e.seq) TO STDOUT WITH (FORMAT csv)"
    )
    output = subprocess.run([shutil.which("psql"), "-X", "-q", url, "-c", query], capture_output=True, text=True, check=True).stdout
    return [(int(seq), int(time), actor, text) for seq, time, actor, text in csv.reader(io.StringIO(output))]


alice, bob = register("alice"), register("bob")
token, people = alice["access_token"], [alice["user"]["user_id"], bob["user"]["user_id"]]
ids = []
for text in TEXTS:
    accepted = call("POST", "/v1/messages", {"recipient_id": people[1], "content": text}, token)
    ids.append(accepted["message_id"])
conversation = accepted["conversation_id"]
deadline = time.monotonic() + PATIENCE
while len(found := rows(conversation)) < len(TEXTS) and time.monotonic() < deadline:
    time.sleep(0.2)
history = call("GET", f"/v1/conversations/{conversation}/messages?limit=50", token=token)["messages"]
history = {message["message_id"]: message for message in history}
sent = [history[id] for id in ids]
check([row[0] for row in found] == [message["seq"] for message in sent], f"{SHELL} reads every `seq`, in order")
check([row[3] for row in found] == TEXTS, f"{SHELL} reads each text, byte for byte")
check({row[2] for row in found} == {people[0]}, f"{SHELL} reads who sent it")
if SHELL == "psql":
    check([row[1] for row in found] == [message["timestamp"] for message in sent], "psql reads when")
check.result()
