"""The public topics as two clients that are not ours read them: `confluent-kafka` with its JSON deserializer, which takes
each record's schema from the registry and holds the record against it, and `kcat`.

Set CHAT4ALL_SERVER, CHAT4ALL_KAFKA (host:port), CHAT4ALL_REGISTRY_URL and, where the log's URL has a prefix (`kafka://host/PREFIX`),
CHAT4ALL_TOPIC_PREFIX.
Each check is counted, as a test runner would.
"""

import json
import os
import subprocess
import time

from api import Checks, call, register
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

KAFKA = os.environ["CHAT4ALL_KAFKA"]
REGISTRY = os.environ["CHAT4ALL_REGISTRY_URL"]
PREFIX = os.environ.get("CHAT4ALL_TOPIC_PREFIX", "")
PREFIX = PREFIX and PREFIX + "."
PATIENCE = 60
TEXTS = ["plain", "family 👨‍👩‍👧‍👦", "你好 مرحبا", 'tab\tnewline\nquote" backslash\\ </script>', "😀" * 4_000]
registry = SchemaRegistryClient({"url": REGISTRY})
check = Checks("topics")


def read_with_python(topic, conversation, count):
    """The records of a conversation, by a client that takes schemas from the registry; and those schemas' ids."""
    read = JSONDeserializer(None, schema_registry_client=registry)
    consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": "none", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found, ids, deadline = [], set(), time.monotonic() + PATIENCE
    while len(unique(found)) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None or message.error() or message.key() != conversation.encode():
            continue
        ids.add(int.from_bytes(message.value()[1:5], "big"))
        found.append(read(message.value(), SerializationContext(topic, MessageField.VALUE)))
    consumer.close()
    return found, ids


def read_with_kcat(topic, conversation, count):
    """The same by kcat, which shows the frame: a zero, the schema's id, then JSON."""
    found, deadline = [], time.monotonic() + PATIENCE
    while len(unique(found)) < count and time.monotonic() < deadline:
        command = ["kcat", "-C", "-b", KAFKA, "-t", topic, "-o", "beginning", "-e", "-q", "-s", "value=>bIs", "-f", "%k %s\n"]
        lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
        ours = [line.split(" ", 1)[1] for line in lines if line.startswith(conversation + " ")]
        assert all(line.startswith("0") for line in ours), ours
        found = [json.loads(line[line.index("{") :]) for line in ours]
    return found


def unique(records):
    """What is told again has the same `seq`: each reader drops it."""
    return list({record["seq"]: record for record in records}.values())


def read(topic, conversation, count):
    """What both read, which must be the same."""
    found, [schema] = read_with_python(PREFIX + topic, conversation, count)
    by_python = unique(found)
    with open(os.path.join(os.path.dirname(__file__), "../../schema/events", f"{topic}.v1.json")) as file:
        check(json.loads(registry.get_schema(schema).schema_str) == json.load(file), f"{topic} names the committed schema")
    by_kcat = unique(read_with_kcat(PREFIX + topic, conversation, count))
    check(len(by_python) == count, f"Python reads {count} of {topic}")
    check(by_kcat == by_python, f"kcat reads the same of {topic}")
    seqs = [record["seq"] for record in by_python]
    check(seqs == sorted(seqs), f"{topic} is in order")
    return by_python


def main():
    alice, bob = register("alice"), register("bob")
    token, people = alice["access_token"], [alice["user"]["user_id"], bob["user"]["user_id"]]
    group = {"type": "group", "name": "Topics", "participant_ids": [people[1]]}
    conversation = call("POST", "/v1/conversations", group, token)["conversation_id"]
    ids = [call("POST", "/v1/messages", {"conversation_id": conversation, "content": text, "data": {"n": n}}, token)["message_id"] for n, text in enumerate(TEXTS)]
    call("PATCH", f"/v1/conversations/{conversation}/messages/{ids[0]}", {"content": "edited"}, token)
    call("DELETE", f"/v1/messages/{ids[1]}", token=token)
    history = call("GET", f"/v1/conversations/{conversation}/messages?limit=50", token=token)["messages"]
    history = {message["message_id"]: message for message in history}
    check(sorted(history) == sorted(ids), "history has all that was sent")

    created = read("message.created", conversation, len(TEXTS))
    check([record["message_id"] for record in created] == ids, "every message was told, in order")
    check([record["content"] for record in created] == TEXTS, "its text byte for byte")
    for name in ["seq", "sender_id", "timestamp", "conversation_id", "kind", "recipient_id", "reply_to", "mentions"]:
        check(all(record[name] == history[record["message_id"]][name] for record in created), f"`{name}` is that of history")
    check([record["data"] for record in created] == [{"n": n} for n in range(len(TEXTS))], "`data` is what was sent")
    [updated] = read("message.updated", conversation, 1)
    check((updated["message_id"], updated["content"], updated["actor_id"]) == (ids[0], "edited", people[0]), "the edit was told")
    check(updated["content"] == history[ids[0]]["content"], "as history shows it")
    [deleted] = read("message.deleted", conversation, 1)
    check((deleted["message_id"], deleted["message_seq"]) == (ids[1], history[ids[1]]["seq"]), "the deletion was told")

    direct = call("POST", "/v1/messages", {"recipient_id": people[1], "content": "to one"}, token)
    [record] = read("message.created", direct["conversation_id"], 1)
    check(record["recipient_id"] == people[1], "a message to one names whom it is for")
    for topic in ["message.created", "message.updated", "message.deleted", "dead-letters"]:
        check(registry.get_compatibility(f"{topic}-value") == "BACKWARD", f"{topic}-value is kept backward compatible")
    check.result()


main()
