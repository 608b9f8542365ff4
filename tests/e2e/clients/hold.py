"""Opens connections and holds them until its standard input ends.

`hold.py ADDRESS PORT HOST COUNT HOW` opens them one after the other, and tells in a line who answered how
many, as JSON. HOW is `whole`: it asks on each, and waits for the answer; `half`: it sends half a request
on each; `long`: it sends 30,000 bytes of one.
"""

import collections
import json
import resource
import socket
import sys

_, address, port, host, count, how = sys.argv
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
head = f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode()
beginning = {"whole": head + b"\r\n", "half": head, "long": head + b"x-long: " + 30_000 * b"x"}[how]


def body_of(client):
    answer = b""
    while not answer.endswith(b"\n") or b"\r\n\r\n" not in answer:
        more = client.recv(65536)
        if not more:
            return "cut off"
        answer += more
    return answer.split(b"\r\n\r\n", 1)[1].decode().strip()


held, counts = [], collections.Counter()
for _ in range(int(count)):
    try:
        client = socket.create_connection((address, int(port)), timeout=30)
        client.sendall(beginning)
        who = body_of(client) if how == "whole" else "held"
        held.append(client)
    except OSError as error:
        who = str(error)
    counts[who] += 1
print(json.dumps(counts), flush=True)
sys.stdin.read()
