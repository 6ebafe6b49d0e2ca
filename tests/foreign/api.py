"""The public API over HTTP, from the standard library alone, and checks that are counted as a test runner would.

Set CHAT4ALL_SERVER.
"""

import json
import os
import urllib.error
import urllib.request
import uuid

SERVER = os.environ["CHAT4ALL_SERVER"]


class Checks:
    """Counts what holds; the first that does not ends the program."""

    def __init__(self, suite):
        self.suite, self.passed = suite, 0

    def __call__(self, condition, what):
        assert condition, what
        self.passed += 1
        print(f"test {self.suite}: {what} ... ok")

    def result(self):
        print(f"test result: ok. {self.passed} passed; 0 failed; 0 ignored;")


def answer(method, path, body=None, token=None, **headers):
    """The status and the JSON of an answer, whichever it is."""
    request = urllib.request.Request(SERVER + path, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, data, timeout=20) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def call(method, path, body=None, token=None, **headers):
    """The JSON of an answer that must be a good one."""
    status, found = answer(method, path, body, token, **headers)
    assert status < 300, f"{method} {path}: {status} {found}"
    return found


def register(name):
    return call("POST", "/auth/register", {"username": f"{name}-{uuid.uuid4().hex[:8]}", "password": "correct horse"})
