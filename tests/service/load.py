"""Asks http://HOST/ fifty times a second until FILE exists, on a connection of its own each time, and says
what came of it: load.py HOST ADDRESS FILE."""

import collections
import os
import socket
import sys
import time


def ask(host, address):
    with socket.create_connection((address, 80), timeout=20) as connection:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        return "refused:" + head.split(b"\r\n")[0].decode().replace(" ", "_")
    return body.decode().strip()


def main():
    host, address, stop = sys.argv[1:]
    answers = collections.Counter()
    while not os.path.exists(stop):
        try:
            answers[ask(host, address)] += 1
        except OSError as error:
            answers["failed:" + type(error).__name__] += 1
        time.sleep(0.02)
    print(" ".join(f"{who}={count}" for who, count in sorted(answers.items())))


main()
