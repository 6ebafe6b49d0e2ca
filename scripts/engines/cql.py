"""Runs one CQL statement, to know whether a node of Cassandra (or each of several) answers. Usage: cql.py HOST,... PORT LEVEL STATEMENT"""

import socket
import struct
import sys

LEVELS = {"ONE": 1, "TWO": 2, "THREE": 3, "QUORUM": 4, "ALL": 5}
STARTUP, QUERY, READY, RESULT = 1, 7, 2, 8  # opcodes of the native protocol, version 4


def call(connection, opcode, body, expected):
    connection.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
    _, _, _, answer, length = struct.unpack(">BBhBi", read(connection, 9))
    body = read(connection, length)
    if answer != expected:
        sys.exit(f"{body!r}")


def read(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            sys.exit("the connection was closed")
        data += more
    return data


def string(text):
    return struct.pack(">H", len(text)) + text.encode()


hosts, port, level, statement = sys.argv[1:]
for host in hosts.split(","):
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        call(connection, STARTUP, struct.pack(">H", 1) + string("CQL_VERSION") + string("3.0.0"), READY)
        query = struct.pack(">i", len(statement)) + statement.encode() + struct.pack(">HB", LEVELS[level], 0)
        call(connection, QUERY, query, RESULT)
