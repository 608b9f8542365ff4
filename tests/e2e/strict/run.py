"""The strictness suite: sends every row of the tables to a running dispa, compares what becomes of it with
what must, and after each asks a canary on a fresh connection.

Arguments: the addresses (host:port) of three doors: to the backends of HTTP/1, of HTTP/2, and to the
hostile one; then the backends' ports in the same order; then, where there is one, a door that leads to
the first of them as well, for requests that are also to be tried there.
"""

import itertools
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import answers
import h11
import judge as judges
import requests
import streams

LIMIT = 15
COUNTER = itertools.count()


def token():
    return b"token-%d-" % next(COUNTER)


def connect(door):
    host, _, port = door.rpartition(":")
    stream = socket.create_connection((host, int(port)), timeout=LIMIT)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


class Got:
    """What a peer sent until it closed, or fell silent for too long."""

    def __init__(self, stream, until=lambda got: False):
        self.bytes, self.end = b"", "open"
        deadline = time.monotonic() + LIMIT
        try:
            while time.monotonic() < deadline and not until(self.bytes):
                piece = stream.recv(65536)
                if not piece:
                    self.end = "closed"
                    break
                self.bytes += piece
        except TimeoutError:
            pass
        except OSError:
            self.end = "reset"
        stream.close()

    def __str__(self):
        return f"{self.bytes[:300]!r} ... {self.bytes[-80:]!r}, {self.end}"


def send(stream, content):
    """Sends what it can: who refuses early stops reading."""

    def write():
        try:
            stream.sendall(content)
        except OSError:
            pass

    writer = threading.Thread(target=write, daemon=True)
    writer.start()


def responses(got, methods=(b"GET",)):
    """The final responses in what was got, by h11: (status, body, whether it is whole)."""
    found, rest = [], got.bytes
    for method in itertools.chain(methods, itertools.repeat(b"GET")):
        if not rest:
            break
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        connection.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(rest)
        if got.end != "open":
            connection.receive_data(b"")
        status, body = None, b""
        try:
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    found.append((status, body, True))
                    break
                elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                    found.append((status, body, False))
                    return found
        except h11.RemoteProtocolError:
            found.append((status, body, False))
            return found
        rest = connection.trailing_data[0]
    return found


class Suite:
    def __init__(self, doors, ports, transparent):
        self.doors, self.transparent = doors, transparent
        self.judge = judges.Judge()
        self.failures = []
        judges.serve(ports[0], judges.http1(self.judge))
        judges.serve(ports[1], judges.http2(self.judge))
        judges.serve(ports[2], judges.hostile)

    def fail(self, kind, name, rule, wanted, got):
        self.failures.append(f"{kind}: {name} (RFC {rule}): wanted {wanted}, got {got}")

    def canary(self, door, kind, name, rule):
        mine = token()
        stream = connect(door)
        send(stream, b"GET /%s HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" % mine)
        got = Got(stream)
        answer = responses(got)
        wanted = {mine, b"/" + mine}
        if len(answer) != 1 or answer[0][0] != 200 or answer[0][1] not in wanted:
            self.fail(kind, name, rule, "the canary behind it to live", got)

    def seen(self, mine):
        with self.judge.lock:
            return len(self.judge.seen.get(mine, []))

    def request(self, row, door, kind):
        name, rule, content, wanted = row
        mine = token()
        stream = connect(door)
        method = content.lstrip(b"\r\n ").split(b" ")[0].split(b"\t")[0] or b"GET"
        send(stream, self.with_token(content, mine))
        if wanted == requests.FORWARDED:
            shown = [b"HEAD"] if method == b"HEAD" else [b"GET"]
            got = Got(stream, lambda seen: mine in seen or method == b"HEAD" and b"\r\n\r\n" in seen)
            found = responses(got, shown)
            right = bool(found) and found[0][0] == 200 and self.seen(mine) == 1
            right = right and (method == b"HEAD" or found[0][1] == mine)
        else:
            open_after = 405 in wanted or 204 in wanted
            got = Got(stream, lambda seen: open_after and b"\r\n\r\n" in seen)
            found = responses(got)
            right = len(found) == 1 and found[0][0] in wanted and self.seen(mine) == 0
            right = right and (got.end == "closed" or open_after)
        if not right:
            self.fail(kind, name, rule, wanted, f"{got}; at the backend {self.seen(mine)} times")
        self.canary(door, kind, name, rule)

    @staticmethod
    def with_token(content, mine):
        """Puts the token where the target has a `T`."""
        for before in (b"/T", b"?T", b" T "):
            if before in content:
                return content.replace(before, before.replace(b"T", mine), 1)
        return content

    def stream(self, row, door):
        name, rule, make, wanted = row
        mine = token()
        stream = connect(door)
        send(stream, make(mine))
        got = Got(stream, lambda seen: wanted != "ended" and self.told(seen, wanted))
        frames = list(self.frames(got.bytes))
        status = self.status(frames)
        reset = any(kind == streams.RST and number == 1 for kind, _, number, _ in frames)
        goaway = any(kind == streams.GOAWAY for kind, _, _, _ in frames)
        forwarded = self.seen(mine)
        if wanted == "forwarded":
            right = status == 200 and forwarded == 1
        elif wanted == "ended":
            right = got.end != "open" and forwarded == 0
        elif wanted == "reset":
            # A fault that ends the whole connection is stricter still (RFC 9113 section 5.4).
            right = (reset or goaway or status in (400, 431) or got.end != "open") and forwarded == 0
        elif wanted == "cut":
            right = goaway or any(kind == streams.RST for kind, _, _, _ in frames) or got.end != "open"
        else:
            right = status == wanted and forwarded == 0
        if not right:
            shown = [(kind, number) for kind, _, number, _ in frames[:12]]
            self.fail("stream", name, rule, wanted, f"status {status}, frames {shown}, {got.end}; at the backend {forwarded} times")
        self.canary(door, "stream", name, rule)

    @staticmethod
    def frames(bytes_):
        while len(bytes_) >= 9:
            size = int.from_bytes(bytes_[:3], "big")
            number = int.from_bytes(bytes_[5:9], "big") & 0x7FFFFFFF
            yield bytes_[3], bytes_[4], number, bytes_[9 : 9 + size]
            bytes_ = bytes_[9 + size :]

    @staticmethod
    def status(frames):
        """The status on stream 1."""
        decoder = streams.hpack.Decoder()
        for kind, flags, number, payload in frames:
            if kind == streams.HEADERS:
                fields = dict(decoder.decode(payload, raw=True))
                if number == 1 and b":status" in fields:
                    return int(fields[b":status"])
        return None

    def told(self, seen, wanted):
        """Whether stream 1 has had its answer, or its end."""
        for kind, flags, number, _ in self.frames(seen):
            if kind == streams.GOAWAY:
                return True
            if wanted == "cut" and kind == streams.RST:
                return True
            if number == 1 and (kind == streams.RST or kind in (0, 1) and flags & streams.END_STREAM):
                return True
        return False

    def answer(self, index, row, door):
        name, rule, content, wanted = row
        stream = connect(door)
        send(stream, b"GET /answer/%d HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" % index)
        got = Got(stream)
        found = responses(got)
        if wanted == "cut":
            # Nothing at all, where it broke off before any of it had left.
            right = not found or found[0][0] == 502 or not found[0][2]
            right = right and got.end != "open"
        elif wanted == "whole":
            right = found == [(200, b"hello", True)]
        else:
            right = len(found) == 1 and found[0][0] == wanted and found[0][2]
        if not right:
            self.fail("answer", name, rule, wanted, got)
        self.canary(door, "answer", name, rule)

    def run(self):
        to_http1, to_http2, to_hostile = self.doors
        with ThreadPoolExecutor(max_workers=24) as pool:
            tasks = []
            for row in requests.CASES:
                tasks.append(pool.submit(self.request, row, to_http1, "request"))
            if self.transparent:
                # There what is no request at all is relayed to where it was going.
                for row in requests.LENGTHS + requests.CHUNKS:
                    if b"\x0b" in row[2]:
                        continue  # no request to begin with: relayed
                    tasks.append(pool.submit(self.request, row, self.transparent, "transparent request"))
            for row in requests.CASES:
                if row[3] == requests.FORWARDED:
                    tasks.append(pool.submit(self.request, row, to_http2, "request to HTTP/2"))
            for row in streams.CASES:
                tasks.append(pool.submit(self.stream, row, to_http1))
            for row in streams.CASES:
                if row[3] == "forwarded" and row[0] != "HEAD":
                    tasks.append(pool.submit(self.stream, row, to_http2))
            for index, row in enumerate(answers.CASES):
                tasks.append(pool.submit(self.answer, index, row, to_hostile))
            for task in tasks:
                task.result()
        for path in self.judge.seen:
            if b"smuggled" in path:
                self.failures.append(f"smuggled: {self.judge.seen[path]}")
        self.failures += self.judge.complaints


def main():
    doors, ports, transparent = sys.argv[1:4], [int(it) for it in sys.argv[4:7]], sys.argv[7:8]
    suite = Suite(doors, ports, transparent[0] if transparent else None)
    suite.run()
    for failure in suite.failures:
        print(failure)
    print(f"{len(requests.CASES)} requests, {len(streams.CASES)} streams, {len(answers.CASES)} answers")
    sys.exit(1 if suite.failures else 0)


main()
