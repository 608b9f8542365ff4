"""Byte streams of HTTP/2 clients, and what must become of each.

A row: its name, the rule, what is sent (a function of a token), and what is required: `forwarded` (200 on
stream 1), a status (answered so on stream 1, nothing passed on), `reset` (stream 1 is reset or answered
400, nothing passed on), `ended` (the connection is closed, with GOAWAY or without, and nothing passed on),
or `cut` (a stream is reset, or all of them end).
Frames are built by hand; hpack only compresses fields.
"""

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def pack(fields):
    return hpack.Encoder().encode(fields)


def literal(name, value):
    """A field as it is, without compression or any check."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def pseudo(token, method=b"GET", authority=b"a.test", scheme=b"http"):
    return [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", b"/" + token)]


def head(token, *fields, end=True, stream=1, **how):
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(HEADERS, flags, stream, pack(pseudo(token, **how) + list(fields)))


def raw(block, end=True, stream=1):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def in_frames(block):
    """A head as large as it likes, in frames of the size that they may have."""
    pieces = [block[at : at + 16000] for at in range(0, len(block), 16000)]
    frames = [frame(HEADERS, END_STREAM, 1, pieces[0])]
    frames += [frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:-1]]
    return b"".join(frames) + frame(CONTINUATION, END_HEADERS, 1, pieces[-1])


def data(bytes_, end=True, stream=1):
    return frame(DATA, END_STREAM if end else 0, stream, bytes_)


START = PREFACE + frame(SETTINGS)


def post(token, *fields, **how):
    return head(token, *fields, end=False, method=b"POST", **how)


def without(name):
    return lambda t: START + raw(pack([it for it in pseudo(t) if it[0] != name]))


def extended(missing):
    fields = lambda t: pseudo(t, method=b"CONNECT") + [(b":protocol", b"websocket")]
    return lambda t: START + raw(pack([it for it in fields(t) if it[0] != missing]), end=False)


def with_field(name, value):
    return lambda t: START + raw(pack(pseudo(t)) + literal(name, value))


def flood(count, piece):
    return lambda t: START + piece * count


def rapid_reset(t):
    streams = range(1, 801, 2)
    return START + b"".join(head(t, stream=it) + frame(RST, 0, it, b"\0\0\0\x08") for it in streams)


def continuation_flood(t):
    first = frame(HEADERS, END_STREAM, 1, pack(pseudo(t)))
    return START + first + frame(CONTINUATION, 0, 1, literal(b"x", b"y") * 30) * 2000


def hpack_bomb(t):
    big = b"\x40" + bytes([1]) + b"x" + b"\x7f" + b"\xc1\x1d" + b"y" * 3904
    return START + raw(pack(pseudo(t)) + big + b"\xbe" * 10000)


def many_streams(t):
    return START + b"".join(post(t, stream=it) for it in range(1, 2001, 2))


CASES = [
    ("a request", "9113 8.1", lambda t: START + head(t), "forwarded"),
    ("a request with a body", "9113 8.1", lambda t: START + post(t) + data(b"hello"), "forwarded"),
    ("a body in pieces", "9113 6.1", lambda t: START + post(t) + data(b"he", False) + data(b"", False) + data(b"llo"), "forwarded"),
    ("a padded body", "9113 6.1", lambda t: START + post(t) + frame(DATA, END_STREAM | PADDED, 1, b"\x02hello\0\0"), "forwarded"),
    ("a head in pieces", "9113 6.10", lambda t: START + frame(HEADERS, END_STREAM, 1, pack(pseudo(t))[:5]) + frame(CONTINUATION, END_HEADERS, 1, pack(pseudo(t))[5:]), "forwarded"),
    ("a head with priority", "9113 6.2", lambda t: START + frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0\0\x10" + pack(pseudo(t))), "forwarded"),
    ("trailers", "9113 8.1", lambda t: START + post(t) + data(b"hello", False) + raw(pack([(b"x-sum", b"1")])), "forwarded"),
    ("a length", "9113 8.1.1", lambda t: START + post(t, (b"content-length", b"5")) + data(b"hello"), "forwarded"),
    ("cookie crumbs", "9113 8.2.3", lambda t: START + head(t, (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")), "forwarded"),
    ("te: trailers", "9113 8.2.2", lambda t: START + head(t, (b"te", b"trailers")), "forwarded"),
    ("host beside :authority", "9113 8.3.1", lambda t: START + head(t, (b"host", b"a.test")), "forwarded"),
    ("host for :authority", "9113 8.3.1", lambda t: START + raw(pack([it for it in pseudo(t) if it[0] != b":authority"] + [(b"host", b"a.test")])), "forwarded"),
    ("scheme https", "9113 8.3.1", lambda t: START + head(t, scheme=b"https"), "forwarded"),
    ("a ping first", "9113 6.7", lambda t: START + frame(PING, 0, 0, b"12345678") + head(t), "forwarded"),
    ("settings of no meaning", "9113 6.5.2", lambda t: PREFACE + frame(SETTINGS, 0, 0, b"\x0f\xff\0\0\0\x01") + head(t), "forwarded"),
    ("a frame of no meaning", "9113 5.5", lambda t: START + frame(0x77, 0, 0, b"hello") + head(t), "forwarded"),
    ("priority of an idle stream", "9113 6.3", lambda t: START + frame(PRIORITY, 0, 3, b"\0\0\0\0\x10") + head(t), "forwarded"),
    ("a value of 8 bits", "9110 5.5", lambda t: START + head(t, (b"x", b"\xe9")), "forwarded"),
    ("an empty value", "9110 5.5", lambda t: START + head(t, (b"x", b"")), "forwarded"),
    ("HEAD", "9110 9.3.2", lambda t: START + head(t, method=b"HEAD"), "forwarded"),
    ("OPTIONS", "9113 8.3.1", lambda t: START + head(t, method=b"OPTIONS"), "forwarded"),
    ("no :method", "9113 8.3.1", without(b":method"), "reset"),
    ("no :path", "9113 8.3.1", without(b":path"), "reset"),
    ("no :scheme", "9113 8.3.1", without(b":scheme"), "reset"),
    ("no :authority and no host", "9113 8.3.1", without(b":authority"), "reset"),
    ("an empty :path", "9113 8.3.1", lambda t: START + raw(pack(pseudo(t)[:3] + [(b":path", b"")])), "reset"),
    ("a :path without a slash", "9113 8.3.1", lambda t: START + raw(pack(pseudo(t)[:3] + [(b":path", t)])), "reset"),
    ("a :path of an asterisk", "9113 8.3.1", lambda t: START + raw(pack(pseudo(t)[:3] + [(b":path", b"*")])), "reset"),
    ("a space in :path", "9113 8.3.1", lambda t: START + raw(pack(pseudo(t)[:3] + [(b":path", b"/" + t + b" HTTP/1.1")])), "reset"),
    ("CR LF in :path", "9113 8.2.1", lambda t: START + raw(pack(pseudo(t)[:3]) + literal(b":path", b"/\r\nx: y")), "reset"),
    ("two paths", "9113 8.3", lambda t: START + head(t, (b":path", b"/b")), "reset"),
    ("two methods", "9113 8.3", lambda t: START + head(t, (b":method", b"POST")), "reset"),
    ("an unknown pseudo-field", "9113 8.3", lambda t: START + head(t, (b":x", b"y")), "reset"),
    (":status in a request", "9113 8.3", lambda t: START + head(t, (b":status", b"200")), "reset"),
    ("a pseudo-field behind a field", "9113 8.3", lambda t: START + raw(pack(pseudo(t)[:3] + [(b"x", b"y")] + pseudo(t)[3:])), "reset"),
    # h2 takes it for none at all, so that there is nothing of it to pass on.
    ("a pseudo-field in trailers", "9113 8.1", lambda t: START + post(t) + data(b"x", False) + raw(pack([(b":path", b"/")])), "forwarded"),
    (":authority differs from host", "9113 8.3.1", lambda t: START + head(t, (b"host", b"b.test")), "reset"),
    ("two hosts", "9110 7.2", lambda t: START + head(t, (b"host", b"a.test"), (b"host", b"a.test")), "reset"),
    (":authority with a user", "9113 8.3.1", lambda t: START + head(t, authority=b"u@a.test"), "reset"),
    (":authority with a space", "9113 8.3.1", lambda t: START + head(t, authority=b"a.test b"), "reset"),
    ("a method with a space", "9110 9.1", lambda t: START + head(t, method=b"GET /x HTTP/1.1"), "reset"),
    ("a name in capitals", "9113 8.2.1", with_field(b"X", b"y"), "reset"),
    ("a name with a space", "9113 8.2.1", with_field(b"x y", b"z"), "reset"),
    ("a name with a colon", "9113 8.2.1", with_field(b"x:y", b"z"), "reset"),
    ("an empty name", "9113 8.2.1", with_field(b"", b"z"), "reset"),
    ("CR LF in a value", "9113 8.2.1", with_field(b"x", b"y\r\nz: 1"), "reset"),
    ("LF in a value", "9113 8.2.1", with_field(b"x", b"y\nz"), "reset"),
    ("a NUL in a value", "9113 8.2.1", with_field(b"x", b"y\0"), "reset"),
    ("connection", "9113 8.2.2", with_field(b"connection", b"close"), "reset"),
    ("keep-alive", "9113 8.2.2", with_field(b"keep-alive", b"timeout=5"), "reset"),
    ("proxy-connection", "9113 8.2.2", with_field(b"proxy-connection", b"close"), "reset"),
    ("transfer-encoding", "9113 8.2.2", with_field(b"transfer-encoding", b"chunked"), "reset"),
    ("upgrade", "9113 8.2.2", with_field(b"upgrade", b"websocket"), "reset"),
    ("te: gzip", "9113 8.2.2", with_field(b"te", b"gzip"), "reset"),
    ("a length that is none", "9110 8.6", lambda t: START + post(t, (b"content-length", b"x")) + data(b"hello"), "reset"),
    ("a body shorter than its length", "9113 8.1.1", lambda t: START + post(t, (b"content-length", b"9")) + data(b"hello"), "reset"),
    ("a body longer than its length", "9113 8.1.1", lambda t: START + post(t, (b"content-length", b"2")) + data(b"hello"), "reset"),
    ("a length and no body", "9113 8.1.1", lambda t: START + head(t, (b"content-length", b"5"), method=b"POST"), "reset"),
    ("expect of something else", "9110 10.1.1", lambda t: START + head(t, (b"expect", b"x")), 417),
    ("CONNECT", "9113 8.5", lambda t: START + raw(pack([(b":method", b"CONNECT"), (b":authority", b"a.test:80")]), end=False), 405),
    ("extended CONNECT to something else", "8441 4", lambda t: START + raw(pack(pseudo(t, method=b"CONNECT") + [(b":protocol", b"x")]), end=False), 405),
    ("a WebSocket without :path", "8441 4", extended(b":path"), "reset"),
    ("a WebSocket without :scheme", "8441 4", extended(b":scheme"), "reset"),
    ("a WebSocket without :authority", "8441 4", extended(b":authority"), "reset"),
    (":protocol without CONNECT", "8441 4", lambda t: START + head(t, (b":protocol", b"websocket")), "reset"),
    ("Max-Forwards 0", "9110 7.6.2", lambda t: START + head(t, (b"max-forwards", b"0"), method=b"OPTIONS"), 204),
    ("101 fields", "6585 5", lambda t: START + head(t, *[(b"x", b"y")] * 101), 431),
    ("101 crumbs", "9113 8.2.3", lambda t: START + head(t, *[(b"cookie", b"a=b")] * 101), 431),
    ("a head too large", "9113 10.5.1", lambda t: START + in_frames(pack(pseudo(t) + [(b"x%d" % it, b"<" * 900) for it in range(40)])), 431),
    ("a target too long", "9110 15.5.15", lambda t: START + head(t + b"x" * 9000), 414),
    ("no preface", "9113 3.4", lambda t: frame(SETTINGS) + head(t), "ended"),
    ("half a preface", "9113 3.4", lambda t: PREFACE[:20] + b"XX\r\n" + head(t), "ended"),
    ("no settings first", "9113 3.4", lambda t: PREFACE + head(t) + frame(0x77, 0, 0, b""), "ended"),
    ("settings of odd length", "9113 6.5", lambda t: PREFACE + frame(SETTINGS, 0, 0, b"12345"), "ended"),
    ("settings on a stream", "9113 6.5", lambda t: PREFACE + frame(SETTINGS, 0, 1), "ended"),
    ("an acknowledgement with settings", "9113 6.5", lambda t: START + frame(SETTINGS, ACK, 0, b"\0\x03\0\0\0\x64"), "ended"),
    ("a window of 2^31", "9113 6.5.2", lambda t: PREFACE + frame(SETTINGS, 0, 0, b"\0\x04\x80\0\0\0"), "ended"),
    ("a frame size of 1", "9113 6.5.2", lambda t: PREFACE + frame(SETTINGS, 0, 0, b"\0\x05\0\0\0\x01"), "ended"),
    ("push of 2", "9113 6.5.2", lambda t: PREFACE + frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02"), "ended"),
    ("a frame too large", "9113 4.2", lambda t: START + post(t) + frame(DATA, 0, 1, b"x" * 20000), "ended"),
    ("data on stream 0", "9113 6.1", lambda t: START + frame(DATA, 0, 0, b"x"), "ended"),
    ("headers on stream 0", "9113 6.2", lambda t: START + frame(HEADERS, END_HEADERS, 0, pack(pseudo(t))), "ended"),
    ("headers on an even stream", "9113 5.1.1", lambda t: START + head(t, stream=2), "ended"),
    ("data on an idle stream", "9113 5.1", lambda t: START + data(b"x", stream=5), "ended"),
    ("a reset of an idle stream", "9113 6.4", lambda t: START + frame(RST, 0, 5, b"\0\0\0\x08"), "ended"),
    ("a reset of odd length", "9113 6.4", lambda t: START + post(t) + frame(RST, 0, 1, b"\0\0\x08"), "ended"),
    ("a ping of odd length", "9113 6.7", lambda t: START + frame(PING, 0, 0, b"1234"), "ended"),
    ("a ping on a stream", "9113 6.7", lambda t: START + frame(PING, 0, 1, b"12345678"), "ended"),
    ("a window update of 0", "9113 6.9", lambda t: START + frame(WINDOW, 0, 0, b"\0\0\0\0"), "ended"),
    ("a window beyond 2^31", "9113 6.9.1", lambda t: START + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2, "ended"),
    ("a push from a client", "9113 8.4", lambda t: START + frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02" + pack(pseudo(t))), "ended"),
    ("a continuation of nothing", "9113 6.10", lambda t: START + frame(CONTINUATION, END_HEADERS, 1, pack(pseudo(t))), "ended"),
    ("a head broken up by a ping", "9113 6.10", lambda t: START + frame(HEADERS, END_STREAM, 1, pack(pseudo(t))[:5]) + frame(PING, 0, 0, b"12345678"), "ended"),
    ("padding beyond the frame", "9113 6.1", lambda t: START + post(t) + frame(DATA, PADDED, 1, b"\xffx"), "ended"),
    ("fields that cannot be unpacked", "9113 4.3", lambda t: START + raw(b"\xff\xff\xff\xff\xff\xff"), "ended"),
    ("an index out of range", "7541 2.3.3", lambda t: START + raw(b"\xfe"), "ended"),
    ("streams in the wrong order", "9113 5.1.1", lambda t: START + head(t, stream=5) + head(t, stream=3), "ended"),
    ("HTTP/1 after the preface", "9113 3.4", lambda t: PREFACE + b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "ended"),
    ("rapid reset", "9113 10.5", rapid_reset, "ended"),
    ("a flood of continuations", "9113 10.5", continuation_flood, "ended"),
    ("a flood of pings", "9113 10.5", flood(5000, frame(PING, 0, 0, b"12345678")), "ended"),
    ("a flood of settings", "9113 10.5", flood(5000, frame(SETTINGS)), "ended"),
    ("a flood of priorities", "9113 10.5", flood(5000, frame(PRIORITY, 0, 1, b"\0\0\0\0\x10")), "ended"),
    ("a flood of empty data", "9113 10.5", lambda t: START + post(t) + data(b"", False) * 5000, "ended"),
    ("a flood of unknown frames", "9113 10.5", flood(5000, frame(0x77)), "ended"),
    ("a bomb of fields", "9113 10.5.1", hpack_bomb, "reset"),
    ("a thousand streams at once", "9113 5.1.2", many_streams, "cut"),
    ("a head that never ends", "9113 10.5", lambda t: START + frame(HEADERS, 0, 1, pack(pseudo(t))), "ended"),
    ("a window that stays shut", "9113 10.5", lambda t: PREFACE + frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0") + head(t), "cut"),
    ("data behind the end of a stream", "9113 5.1", lambda t: START + post(t) + data(b"hello") + data(b"more") * 3, "cut"),
    ("a head behind the end of a stream", "9113 5.1", lambda t: START + post(t) + data(b"hello") + head(t), "cut"),
    ("data behind a reset", "9113 5.1", lambda t: START + post(t) + frame(RST, 0, 1, b"\0\0\0\x08") + data(b"more"), "cut"),
    ("a body that never ends", "9113 10.5", lambda t: START + post(t) + data(b"hello", False), 408),
]
