"""Random requests and responses, compared as they are directly and through a proxy.

exact.py serve PORT                   an origin: /N is answered as the number N makes it be
exact.py compare ORIGIN PROXY HOST FIRST COUNT
                                      asks both for HOST by COUNT numbers; prints what differs

What a hop may change is left out: its own fields, Via and Date, where chunks begin and end.
"""
import hashlib, random, socket, sys, threading

HOP = {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
       "te", "transfer-encoding", "upgrade", "via", "date"}
NO_BODY = {204, 304}


class Wire:
    """A connection that is read message by message."""

    def __init__(self, connection):
        self.connection, self.kept = connection, b""

    def fill(self):
        data = self.connection.recv(65536)
        self.kept += data
        return bool(data)

    def line(self):
        while b"\n" not in self.kept:
            if not self.fill():
                raise EOFError
        line, self.kept = self.kept.split(b"\n", 1)
        assert line.endswith(b"\r"), line
        return line[:-1].decode("latin-1")

    def exactly(self, count):
        while len(self.kept) < count:
            if not self.fill():
                raise EOFError
        data, self.kept = self.kept[:count], self.kept[count:]
        return data

    def rest(self):
        while self.fill():
            pass
        data, self.kept = self.kept, b""
        return data

    def fields(self):
        fields = []
        while line := self.line():
            name, value = line.split(":", 1)
            fields.append((name.lower(), value.strip(" \t")))
        return fields

    def body(self, fields, until_end):
        """The body and its trailers."""
        known = dict(fields)
        if "transfer-encoding" in known:
            assert known["transfer-encoding"].lower() == "chunked", known
            body = b""
            while size := int(self.line().split(";")[0], 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            return body, self.fields()
        if "content-length" in known:
            return self.exactly(int(known["content-length"])), []
        return (self.rest() if until_end else b""), []


def end_to_end(fields):
    """What every hop must pass on: values by name, in their order."""
    dropped = HOP | {option.strip().lower() for name, value in fields if name == "connection"
                     for option in value.split(",")}
    kept = {}
    for name, value in fields:
        # One list of trailers or several fields: the same (RFC 9110 section 5.3).
        values = value.split(", ") if name == "trailer" else [value]
        if name not in dropped:
            kept.setdefault(name, []).extend(values)
    return sorted(kept.items())


def word(chance, letters="abcdefghijklmnopqrstuvwxyz0123456789"):
    return "".join(chance.choice(letters) for _ in range(chance.randint(1, 20)))


def value(chance):
    """Anything a field's value may be: text with spaces and tabs inside, obs-text, nothing."""
    letters = "abc XYZ\t019!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\xe4\xff"
    return "".join(chance.choice(letters) for _ in range(chance.randint(0, 60))).strip(" \t")


def random_fields(chance):
    fields = []
    for _ in range(chance.randint(0, 8)):
        name = chance.choice(["x-", "X-", "Accept-", "!#$%&'*+.^_`|~-"]) + word(chance)
        fields += [(name, value(chance)) for _ in range(chance.choice([1, 1, 1, 3]))]
    if chance.random() < 0.3:
        fields += [("Connection", "x-hop-" + word(chance)), ("Keep-Alive", "timeout=5")]
        fields.append((fields[-2][1], "for this hop only"))
    chance.shuffle(fields)
    return fields


def framed(chance, body, kinds, trailers):
    """Fields and bytes of a body in one of these ways of telling its end."""
    kind = chance.choice(kinds)
    if kind == "length":
        return [("Content-Length", str(len(body)))], body
    if kind == "close":
        return [], body
    pieces = b""
    while body:
        size = min(len(body), chance.choice([1, 2, 100, 5000, 70000]))
        more = chance.choice(["", "", ";name", ";name=value", ';a="b c";d'])
        pieces += f"{size:x}{more}\r\n".encode() + body[:size] + b"\r\n"
        body = body[size:]
    told = [("Transfer-Encoding", "chunked")]
    last = b""
    if trailers and kind == "trailers":
        for _ in range(chance.randint(1, 3)):
            name = "x-end-" + word(chance)
            told.append(("Trailer", name))
            last += f"{name}: {value(chance)}\r\n".encode("latin-1")
    return told, pieces + b"0\r\n" + last + b"\r\n"


def head(first, fields):
    lines = [first] + [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def random_body(chance):
    return chance.randbytes(chance.choice([0, 1, 10, 1000, 20000, 300000]))


def is_old(number):
    """Whether number's client speaks HTTP/1.0, which knows neither chunks nor trailers."""
    return number % 10 == 3


def request(number, host):
    """The bytes of number's request, and its method."""
    chance = random.Random(f"request {number}")
    method = chance.choice(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "LAB"])
    fields = [("Host", host), ("TE", "trailers"), ("Connection", "TE")] + random_fields(chance)
    rest = b""
    if method not in ("GET", "HEAD"):
        kinds = ["length"] if is_old(number) else ["length", "chunked", "trailers"]
        told, rest = framed(chance, random_body(chance), kinds, True)
        fields += told
    query = chance.choice(["", "?", "?a=b&c=%20%ff", "?" + "/?:@!$&'()*+,;=" * 3])
    version = "1.0" if is_old(number) else "1.1"
    return head(f"{method} /{number}{query} HTTP/{version}", fields) + rest, method


def response(number, method, seen):
    """The bytes of number's response, and whether its end is the connection's."""
    chance = random.Random(f"response {number}")
    status = chance.choice([200, 200, 200, 201, 204, 206, 299, 301, 304, 404, 418, 500, 599])
    fields = [("x-seen", seen)] + random_fields(chance)
    fields += [("Set-Cookie", f"{word(chance)}={word(chance)}")] * chance.randint(0, 2)
    interim = b""
    if chance.random() < 0.2 and not is_old(number):
        interim = head("HTTP/1.1 103 Early", [("Link", f"<{word(chance)}>"), ("x-early", "1")])
    kinds = ["length", "close"] if is_old(number) else ["length", "chunked", "trailers", "close"]
    told, rest = framed(chance, random_body(chance), kinds, True)
    has_end = bool(told) or status in NO_BODY or method == "HEAD"
    if status == 204 or (status == 304 and told and told[0][0] != "Content-Length"):
        told = []
    if status in NO_BODY or method == "HEAD":
        rest = b""
    if not has_end:
        fields = [it for it in fields if it[0] != "Connection"] + [("Connection", "close")]
    return interim + head(f"HTTP/1.1 {status} {word(chance)}", fields + told) + rest, not has_end


def serve(connection):
    wire = Wire(connection)
    try:
        while True:
            method, target, version = wire.line().split(" ")
            fields = wire.fields()
            body, trailers = wire.body(fields, until_end=False)
            seen = repr((method, target, end_to_end(fields), body, end_to_end(trailers)))
            number = int(target[1:].split("?")[0])
            data, is_last = response(number, method, hashlib.sha256(seen.encode()).hexdigest())
            connection.sendall(data)
            if is_last or version == "HTTP/1.0":
                break
    except (EOFError, ConnectionError):
        pass
    finally:
        connection.close()


def exchange(wire, number, host):
    """What came of number's request: everything, and whether the connection goes on."""
    data, method = request(number, host)
    wire.connection.sendall(data)
    interim = []
    while True:
        version, status, _ = wire.line().split(" ", 2)
        fields = wire.fields()
        if not status.startswith("1"):
            break
        interim.append((status, end_to_end(fields)))
    body, trailers = b"", []
    if method != "HEAD" and int(status) not in NO_BODY:
        body, trailers = wire.body(fields, until_end=True)
    options = [value.lower() for name, value in fields if name == "connection"]
    has_end = {"content-length", "transfer-encoding"} & {name for name, _ in fields}
    goes_on = not is_old(number) and not any("close" in it for it in options) and (
        has_end or method == "HEAD" or int(status) in NO_BODY)
    assert not goes_on or not wire.kept, f"{number}: bytes after the response: {wire.kept[:100]}"
    # Of what a response without a body says about the body it would have had, hyper keeps not all:
    # no length of a 304, no trailers of an answer to HEAD. Both are optional (RFC 9110 section 8.6).
    silent = ({"trailer"} if method == "HEAD" else set()) | ({"content-length"} if status.startswith("304") else set())
    fields = [(name, value) for name, value in fields if name not in silent]
    return {"interim": interim, "status": status, "fields": end_to_end(fields),
            "body": (len(body), hashlib.sha256(body).hexdigest()),
            "trailers": end_to_end(trailers)}, goes_on


def connect(address):
    host, port = address.rsplit(":", 1)
    return Wire(socket.create_connection((host, int(port)), timeout=30))


def difference(truth, seen):
    """What is there directly only, and through the proxy only."""
    if not isinstance(truth, list) or not isinstance(seen, list):
        return f"directly {truth!r}, through {seen!r}"
    only = lambda these, those: [it for it in these if it not in those]
    return f"directly {only(truth, seen)!r}, through {only(seen, truth)!r}"


def compare(origin, proxy, host, first, count):
    through, connections, different = None, 0, 0
    for number in range(int(first), int(first) + int(count)):
        truth, _ = exchange(connect(origin), number, host)
        if through is None:
            through, connections = connect(proxy), connections + 1
        try:
            seen, goes_on = exchange(through, number, host)
        except (AssertionError, EOFError, OSError, ValueError) as error:
            seen, goes_on = {"status": repr(error)}, False
        if seen != truth:
            different += 1
            print(f"number {number}, status {truth['status']} to {request(number, host)[0][:10]!r}:")
            for part in truth:
                if seen.get(part) != truth[part]:
                    print(f"  {part}: {difference(truth[part], seen.get(part))}")
        if not goes_on:
            through.connection.close()
            through = None
    print(f"{different} of {count} differ")
    assert connections < int(count), "no connection to the proxy was ever used twice"


if sys.argv[1] == "serve":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=100)
    print("listening", flush=True)
    while True:
        threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
else:
    compare(*sys.argv[2:])
