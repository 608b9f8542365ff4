"""Requests of HTTP/1, byte by byte, and what must become of each.

A row: its name, the rule it is about, the bytes, what is required. `T` in the bytes stands for a token
that is different for each case; a request that is passed on must reach the backend with it.
"""

FORWARDED = "forwarded"  # passed on, and answered 200


def answered(*statuses):
    """Answered by dispa with one of these statuses, closed, and nothing passed on."""
    return statuses


H = b"Host: a.test\r\n"


def get(*fields, version=b"HTTP/1.1", target=b"/T", host=H):
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET " + target + b" " + version + b"\r\n" + host + lines + b"\r\n"


def post(*fields, body=b"", version=b"HTTP/1.1"):
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST /T " + version + b"\r\n" + H + lines + b"\r\n" + body


def chunked(coded):
    return post(b"Transfer-Encoding: chunked", body=coded)


BAD = answered(400)

HOST = [
    ("no Host", "9112 3.2", get(host=b""), BAD),
    ("no Host in HTTP/1.0", "9112 3.2", get(host=b"", version=b"HTTP/1.0"), BAD),
    ("Host twice", "9112 3.2", get(b"Host: a.test"), BAD),
    ("Host twice, another one", "9112 3.2", get(b"Host: b.test"), BAD),
    ("Host empty", "9110 7.2", get(host=b"Host:\r\n"), BAD),
    ("Host of two names", "9110 7.2", get(host=b"Host: a.test, b.test\r\n"), BAD),
    ("Host with a space", "9110 7.2", get(host=b"Host: a.test b\r\n"), BAD),
    ("Host with user", "9110 4.2.4", get(host=b"Host: user@a.test\r\n"), BAD),
    ("Host with a path", "9110 7.2", get(host=b"Host: a.test/x\r\n"), BAD),
    ("Host with a bad port", "9110 7.2", get(host=b"Host: a.test:x\r\n"), BAD),
    ("Host with a port too large", "9110 7.2", get(host=b"Host: a.test:65536\r\n"), BAD),
    ("Host with port 0", "9110 7.2", get(host=b"Host: a.test:0\r\n"), BAD),
    ("Host with an empty label", "9110 7.2", get(host=b"Host: a..test\r\n"), BAD),
    ("Host with a scheme", "9110 7.2", get(host=b"Host: http://a.test\r\n"), BAD),
    ("Host an open bracket", "9110 7.2", get(host=b"Host: [::1\r\n"), BAD),
    ("Host differs from the absolute form", "9112 3.2.2", get(target=b"http://b.test/T"), BAD),
    ("Host lacks the port of the absolute form", "9112 3.2.2", get(target=b"http://a.test:81/T"), BAD),
    ("absolute form and no Host", "9112 3.2", get(target=b"http://a.test/T", host=b""), BAD),
    ("Host with a port", "9110 7.2", get(host=b"Host: a.test:8080\r\n"), FORWARDED),
    ("Host in capitals", "9110 4.2.3", get(host=b"HOST: A.TEST\r\n"), FORWARDED),
    ("Host with a final dot", "9110 7.2", get(host=b"Host: a.test.\r\n"), FORWARDED),
    ("Host with an empty port", "9110 7.2", get(host=b"Host: a.test:\r\n"), FORWARDED),
    ("Host last", "9112 3.2", get(b"X: y", H.strip(), host=b""), FORWARDED),
    ("absolute form", "9112 3.2.2", get(target=b"http://a.test/T"), FORWARDED),
    ("absolute form in capitals", "9112 3.2.2", get(target=b"HTTP://A.test/T"), FORWARDED),
    ("absolute form with the default port", "9112 3.2.2", get(target=b"http://a.test:80/T"), FORWARDED),
    ("absolute form of https", "9112 3.2.2", get(target=b"https://a.test/T"), FORWARDED),
]

LINES = [
    ("LF for CR LF", "9112 2.2", b"GET /T HTTP/1.1\nHost: a.test\n\n", BAD),
    ("LF after the request line", "9112 2.2", b"GET /T HTTP/1.1\nHost: a.test\r\n\r\n", BAD),
    ("LF after a field", "9112 2.2", b"GET /T HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n", BAD),
    ("LF for the empty line", "9112 2.2", b"GET /T HTTP/1.1\r\nHost: a.test\r\n\n", BAD),
    ("CR in the request line", "9112 2.2", b"GET /T\r HTTP/1.1\r\nHost: a.test\r\n\r\n", BAD),
    ("CR in a value", "9112 2.2", get(b"X: a\rb"), BAD),
    ("CR CR LF", "9112 2.2", get(b"X: a\r"), BAD),
    ("CR alone for an end", "9112 2.2", b"GET /T HTTP/1.1\rHost: a.test\r\r\n\r\n", BAD),
    ("two empty lines first", "9112 2.2", b"\r\n\r\n" + get(), BAD),
    ("an empty line of LF first", "9112 2.2", b"\n" + get(), BAD),
    ("white space first", "9112 2.2", b" " + get(), BAD),
    ("two spaces before the target", "9112 3", b"GET  /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("two spaces before the version", "9112 3", b"GET /T  HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a tab for a space", "9112 3", b"GET\t/T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a space behind the version", "9112 3", b"GET /T HTTP/1.1 \r\n" + H + b"\r\n", BAD),
    ("no target", "9112 3", b"GET HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("no version (HTTP/0.9)", "9112 3", b"GET /T\r\n" + H + b"\r\n", BAD),
    ("one word", "9112 3", b"GET\r\n" + H + b"\r\n", BAD),
    ("four words", "9112 3", b"GET /T x HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a NUL in the request line", "9112 3", b"GET /T\0 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("not a protocol", "9112 2.3", b"GET /T HTPT/1.1\r\n" + H + b"\r\n", BAD),
    ("version in small letters", "9112 2.3", b"GET /T http/1.1\r\n" + H + b"\r\n", BAD),
    ("version of one digit", "9112 2.3", b"GET /T HTTP/1\r\n" + H + b"\r\n", BAD),
    ("version of many digits", "9112 2.3", b"GET /T HTTP/1.10\r\n" + H + b"\r\n", BAD),
    ("version 1.2", "9110 2.5", get(version=b"HTTP/1.2"), answered(505)),
    ("version 2.0", "9110 15.6.6", get(version=b"HTTP/2.0"), answered(505)),
    ("version 0.9", "9110 15.6.6", get(version=b"HTTP/0.9"), answered(505)),
    ("version 9.9", "9110 15.6.6", get(version=b"HTTP/9.9"), answered(505)),
    ("one empty line first", "9112 2.2", b"\r\n" + get(), FORWARDED),
    ("HTTP/1.0", "9112 2.3", get(version=b"HTTP/1.0"), FORWARDED),
    ("HTTP/1.0 kept alive", "9112 9.3", get(b"Connection: keep-alive", version=b"HTTP/1.0"), FORWARDED),
]

METHODS = [
    ("an empty method", "9110 9.1", b" /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a method with a slash", "9110 9.1", b"G/T /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a method in brackets", "9110 9.1", b"(GET) /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a method with a colon", "9110 9.1", b"GET: /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a method of 8 bits", "9110 9.1", b"G\xc9T /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a method of 33 letters", "9110 9.1", b"G" * 33 + b" /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("CONNECT", "9110 9.3.6", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", answered(405)),
    ("CONNECT to another host", "9112 3.2.3", b"CONNECT b.test:443 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("CONNECT with a path", "9112 3.2.3", b"CONNECT /T HTTP/1.1\r\n" + H + b"\r\n", BAD),
    ("a method in small letters", "9110 9.1", b"get /T HTTP/1.1\r\n" + H + b"\r\n", FORWARDED),
    ("a method nobody knows", "9110 9.1", b"M-SEARCH /T HTTP/1.1\r\n" + H + b"\r\n", FORWARDED),
    ("a method of odd letters", "9110 9.1", b"!#$%&'*+-.^_`|~ /T HTTP/1.1\r\n" + H + b"\r\n", FORWARDED),
    ("HEAD", "9110 9.3.2", b"HEAD /T HTTP/1.1\r\n" + H + b"\r\n", FORWARDED),
    ("OPTIONS", "9110 9.3.7", b"OPTIONS /T HTTP/1.1\r\n" + H + b"\r\n", FORWARDED),
    ("DELETE with a body", "9110 9.3.5", b"DELETE /T HTTP/1.1\r\n" + H + b"Content-Length: 1\r\n\r\nx", FORWARDED),
    ("TRACE that ends here", "9110 7.6.2", b"TRACE /T HTTP/1.1\r\n" + H + b"Max-Forwards: 0\r\n\r\n", answered(405)),
    ("OPTIONS that ends here", "9110 7.6.2", b"OPTIONS /T HTTP/1.1\r\n" + H + b"Max-Forwards: 0\r\n\r\n", answered(204)),
    ("Max-Forwards no number", "9110 7.6.2", b"OPTIONS /T HTTP/1.1\r\n" + H + b"Max-Forwards: x\r\n\r\n", BAD),
    ("OPTIONS that goes on", "9110 7.6.2", b"OPTIONS /T HTTP/1.1\r\n" + H + b"Max-Forwards: 2\r\n\r\n", FORWARDED),
    ("Max-Forwards of a GET", "9110 7.6.2", get(b"Max-Forwards: 0"), FORWARDED),
]

TARGETS = [
    ("a target of 8 bits", "9112 3.2", get(target=b"/T\xc3\xa9"), BAD),
    ("a control character in a target", "9112 3.2", get(target=b"/T\x01"), BAD),
    ("DEL in a target", "9112 3.2", get(target=b"/T\x7f"), BAD),
    ("a fragment", "9112 3.2", get(target=b"/T#x"), BAD),
    ("a target without a slash", "9112 3.2.1", get(target=b"T"), BAD),
    ("an authority for a target", "9112 3.2.3", get(target=b"a.test:80"), BAD),
    ("an asterisk with GET", "9112 3.2.4", get(target=b"*"), BAD),
    ("an empty host in the absolute form", "9110 4.2.1", get(target=b"http:///T"), BAD),
    ("a user in the absolute form", "9110 4.2.4", get(target=b"http://u@a.test/T"), BAD),
    ("another scheme", "9112 3.2.2", get(target=b"ftp://a.test/T"), BAD),
    ("a scheme and no authority", "9112 3.2.2", get(target=b"http:/T"), BAD),
    ("a target too long", "9110 15.5.15", get(target=b"/T" + b"x" * 9000), answered(414)),
    ("a long target", "9112 3", get(target=b"/T" + b"x" * 8000), FORWARDED),
    ("a query", "9112 3.2.1", get(target=b"/T?a=b&c=%20d?e"), FORWARDED),
    ("a query without a path", "9112 3.2.2", get(target=b"http://a.test?T"), FORWARDED),
    ("what browsers leave in a path", "3986 2", get(target=b"/T|{}^\"[]\\"), FORWARDED),
    ("brackets that no URI has", "3986 2", get(target=b"/T<>"), BAD),
    ("a backtick", "3986 2", get(target=b"/T`"), BAD),
    ("two slashes", "9112 3.2.1", get(target=b"//T//x"), FORWARDED),
    ("dots", "9112 3.2.1", get(target=b"/T/../x/./%2e%2e"), FORWARDED),
    ("a NUL, escaped", "3986 2.1", get(target=b"/T%00"), FORWARDED),
]

FIELDS = [
    ("a space before the colon", "9112 5.1", get(b"X : y"), BAD),
    ("a tab before the colon", "9112 5.1", get(b"X\t: y"), BAD),
    ("a space before the colon of Content-Length", "9112 5.1", post(b"Content-Length : 5", body=b"GET /"), BAD),
    ("no colon", "9112 5", get(b"X"), BAD),
    ("no name", "9112 5", get(b": y"), BAD),
    ("a name of two words", "9110 5.1", get(b"X Y: z"), BAD),
    ("a name with brackets", "9110 5.1", get(b"X(y): z"), BAD),
    ("a name of 8 bits", "9110 5.1", get(b"X\xe9: y"), BAD),
    ("a NUL in a name", "9110 5.1", get(b"X\0: y"), BAD),
    ("a NUL in a value", "9110 5.5", get(b"X: y\0z"), BAD),
    ("a bell in a value", "9110 5.5", get(b"X: y\x07"), BAD),
    ("an escape in a value", "9110 5.5", get(b"X: y\x1b"), BAD),
    ("DEL in a value", "9110 5.5", get(b"X: y\x7f"), BAD),
    ("a folded value", "9112 5.2", get(b"X: a\r\n b"), BAD),
    ("a value folded by a tab", "9112 5.2", get(b"X: a\r\n\tb"), BAD),
    ("a folded Transfer-Encoding", "9112 5.2", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), BAD),
    ("the first field folded", "9112 2.2", b"GET /T HTTP/1.1\r\n X: y\r\n" + H + b"\r\n", BAD),
    ("a head too large", "6585 5", get(b"X: " + b"y" * 40000), answered(431)),
    ("a name too large", "6585 5", get(b"X" * 40000 + b": y"), answered(431)),
    ("101 fields", "6585 5", get(*[b"X: y"] * 100), answered(431)),
    ("100 fields", "6585 5", get(*[b"X: y"] * 99), FORWARDED),
    ("a large head", "6585 5", get(b"X: " + b"y" * 30000), FORWARDED),
    ("no space behind the colon", "9112 5", get(b"X:y"), FORWARDED),
    ("much space around a value", "9112 5", get(b"X: \t  y \t "), FORWARDED),
    ("an empty value", "9110 5.5", get(b"X:"), FORWARDED),
    ("a value of spaces", "9110 5.5", get(b"X:   "), FORWARDED),
    ("a value of 8 bits", "9110 5.5", get(b"X: \xe9\xff"), FORWARDED),
    ("a tab in a value", "9110 5.5", get(b"X: a\tb"), FORWARDED),
    ("odd letters in a name", "9110 5.1", get(b"!#$%&'*+-.^_`|~9: y"), FORWARDED),
    ("a field twice", "9110 5.2", get(b"X: y", b"X: z"), FORWARDED),
    ("Connection that names Host", "9110 7.6.1", get(b"Connection: host, close"), FORWARDED),
    ("Connection that names much", "9110 7.6.1", get(b"Connection: x, y", b"X: 1", b"Y: 2"), FORWARDED),
    ("Connection of nonsense", "9110 7.6.1", get(b"Connection: ,;=, @"), FORWARDED),
    ("Expect of something else", "9110 10.1.1", post(b"Expect: 200-ok", b"Content-Length: 0"), answered(417)),
    ("Expect of two things", "9110 10.1.1", post(b"Expect: 100-continue, x", b"Content-Length: 0"), answered(417)),
    ("Expect: 100-continue", "9110 10.1.1", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), FORWARDED),
    ("an upgrade to something else", "9110 7.8", get(b"Connection: upgrade", b"Upgrade: h2c, tls/1.0"), FORWARDED),
    ("HTTP2-Settings", "9113 3.1", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), FORWARDED),
    ("TE", "9110 10.1.4", get(b"TE: trailers, deflate;q=0.5", b"Connection: TE"), FORWARDED),
    ("Proxy fields", "9110 7.6.1", get(b"Proxy-Connection: keep-alive", b"Proxy-Authorization: Basic eA=="), FORWARDED),
]

LENGTHS = [
    ("Content-Length twice", "9112 6.3", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), BAD),
    ("two Content-Lengths", "9112 6.3", post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"), BAD),
    ("a list of lengths", "9112 6.3", post(b"Content-Length: 5, 5", body=b"hello"), BAD),
    ("a length with +", "9110 8.6", post(b"Content-Length: +5", body=b"hello"), BAD),
    ("a length with -", "9110 8.6", post(b"Content-Length: -5", body=b"hello"), BAD),
    ("a length in hex", "9110 8.6", post(b"Content-Length: 0x5", body=b"hello"), BAD),
    ("a length with a dot", "9110 8.6", post(b"Content-Length: 5.0", body=b"hello"), BAD),
    ("a length with an exponent", "9110 8.6", post(b"Content-Length: 5e0", body=b"hello"), BAD),
    ("a length with a space", "9110 8.6", post(b"Content-Length: 5 0", body=b"hello"), BAD),
    ("an empty length", "9110 8.6", post(b"Content-Length:", body=b"hello"), BAD),
    ("a length of 2^63", "9110 8.6", post(b"Content-Length: 9223372036854775808"), BAD),
    ("a length of 2^64 + 5", "9110 8.6", post(b"Content-Length: 18446744073709551621", body=b"hello"), BAD),
    ("a length of many digits", "9110 8.6", post(b"Content-Length: " + b"9" * 100), BAD),
    ("a length and a coding", "9112 6.3", post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), BAD),
    ("a coding and a length", "9112 6.3", post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), BAD),
    ("chunked twice", "9112 6.1", post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), BAD),
    ("two fields of chunked", "9112 6.1", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), BAD),
    ("another coding first", "9112 6.1", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), BAD),
    ("another coding last", "9112 6.1", post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), BAD),
    ("identity", "9112 6.1", post(b"Transfer-Encoding: identity", body=b"hello"), BAD),
    ("a coding with a parameter", "9112 7", post(b"Transfer-Encoding: chunked;x=y", body=b"0\r\n\r\n"), BAD),
    ("a coding in quotes", "9112 6.1", post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), BAD),
    ("a coding with a letter more", "9112 6.1", post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), BAD),
    ("a coding with a vertical tab", "9112 6.1", post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), BAD),
    ("an empty coding", "9112 6.1", post(b"Transfer-Encoding:", body=b"0\r\n\r\n"), BAD),
    ("a coding in HTTP/1.0", "9112 6.1", post(b"Transfer-Encoding: chunked", version=b"HTTP/1.0", body=b"0\r\n\r\n"), BAD),
    ("a coding with underscores", "9112 6.1", post(b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"hello"), FORWARDED),
    ("a length", "9112 6.2", post(b"Content-Length: 5", body=b"hello"), FORWARDED),
    ("a length with zeros", "9110 8.6", post(b"Content-Length: 0005", body=b"hello"), FORWARDED),
    ("a length of 0", "9110 8.6", post(b"Content-Length: 0"), FORWARDED),
    ("no length at all", "9112 6.3", post(), FORWARDED),
    ("CHUNKED", "9112 7", post(b"Transfer-Encoding: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"), FORWARDED),
    ("GET with a body", "9110 9.3.1", get(b"Content-Length: 5") + b"hello", FORWARDED),
    ("GET in chunks", "9110 9.3.1", get(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n", FORWARDED),
]

CHUNKS = [
    ("no size", "9112 7.1", chunked(b"\r\n\r\n"), BAD),
    ("a size that is none", "9112 7.1", chunked(b"g\r\n\r\n"), BAD),
    ("a size with +", "9112 7.1", chunked(b"+5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a size with -", "9112 7.1", chunked(b"-5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a size with 0x", "9112 7.1", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a size with a space before", "9112 7.1", chunked(b" 5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a size with a space behind", "9112 7.1", chunked(b"5 \r\nhello\r\n0\r\n\r\n"), BAD),
    ("a size of 2^63", "9112 7.1", chunked(b"8000000000000000\r\n"), BAD),
    ("a size of 2^64", "9112 7.1", chunked(b"10000000000000000\r\n\r\n"), BAD),
    ("a size of many digits", "9112 7.1", chunked(b"0" * 17 + b"5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("LF behind the size", "9112 7.1", chunked(b"5\nhello\r\n0\r\n\r\n"), BAD),
    ("CR behind the size", "9112 7.1", chunked(b"5\rhello\r\n0\r\n\r\n"), BAD),
    ("LF behind the data", "9112 7.1", chunked(b"5\r\nhello\n0\r\n\r\n"), BAD),
    ("too much data", "9112 7.1", chunked(b"5\r\nhello!\r\n0\r\n\r\n"), BAD),
    ("too little data", "9112 7.1", chunked(b"5\r\nhell\r\n0\r\n\r\n"), BAD),
    ("nothing behind the data", "9112 7.1", chunked(b"5\r\nhello0\r\n\r\n"), BAD),
    ("an extension without a name", "9112 7.1.1", chunked(b"5;\r\nhello\r\n0\r\n\r\n"), BAD),
    ("an extension without a value", "9112 7.1.1", chunked(b"5;a=\r\nhello\r\n0\r\n\r\n"), BAD),
    ("an extension with LF", "9112 7.1.1", chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), BAD),
    ("an extension with CR", "9112 7.1.1", chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), BAD),
    ("an extension with NUL", "9112 7.1.1", chunked(b"5;a=\0\r\nhello\r\n0\r\n\r\n"), BAD),
    ("an extension of open quotes", "9112 7.1.1", chunked(b'5;a="b\r\nhello\r\n0\r\n\r\n'), BAD),
    ("an extension of 2 KB", "9112 7.1.1", chunked(b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a trailer with LF", "9112 7.1.2", chunked(b"0\r\nX: y\n\r\n"), BAD),
    ("a trailer with a space", "9112 5.1", chunked(b"0\r\nX : y\r\n\r\n"), BAD),
    ("a folded trailer", "9112 5.2", chunked(b"0\r\nX: y\r\n z\r\n\r\n"), BAD),
    ("a trailer with NUL", "9110 5.5", chunked(b"0\r\nX: \0\r\n\r\n"), BAD),
    ("Content-Length in a trailer", "9110 6.5.1", chunked(b"0\r\nContent-Length: 5\r\n\r\n"), BAD),
    ("Transfer-Encoding in a trailer", "9110 6.5.1", chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD),
    ("Host in a trailer", "9110 6.5.1", chunked(b"0\r\nHost: b.test\r\n\r\n"), BAD),
    ("101 trailers", "9110 6.5.1", chunked(b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n"), BAD),
    ("trailers too large", "9110 6.5.1", chunked(b"0\r\nX: " + b"y" * 40000 + b"\r\n\r\n"), BAD),
    ("chunks", "9112 7.1", chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), FORWARDED),
    ("a size in capitals", "9112 7.1", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), FORWARDED),
    ("a size with zeros", "9112 7.1", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), FORWARDED),
    ("extensions", "9112 7.1.1", chunked(b'5;a;b=c;d="e\\"f;\tg"\r\nhello\r\n0;z\r\n\r\n'), FORWARDED),
    ("trailers", "9112 7.1.2", chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n"), FORWARDED),
    ("nothing in chunks", "9112 7.1", chunked(b"0\r\n\r\n"), FORWARDED),
]

ENDS = [
    ("half a request line", "9112 8", b"GET /T HT", answered(408)),
    ("half a head", "9112 8", b"GET /T HTTP/1.1\r\nHost: a.test\r\nX:", answered(408)),
    ("half a body", "9112 8", post(b"Content-Length: 10", body=b"hello"), answered(408)),
    ("half a chunk", "9112 8", chunked(b"a\r\nhello"), answered(408)),
    ("no last chunk", "9112 8", chunked(b"5\r\nhello\r\n"), answered(408)),
    ("TLS", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD),
    ("SSH", "9112 3", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", BAD),
    ("bytes of all kinds", "9112 3", bytes(range(256)) + b"\r\n\r\n", BAD),
]

# What follows is not to be taken for a request: of each, the bytes after `SMUGGLED` must never be seen by
# a backend as a request of their own.
S = b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n"
SMUGGLING = [
    ("CL.TE", "9112 6.3", post(b"Content-Length: %d" % (5 + len(S)), b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + S), BAD),
    ("TE.CL", "9112 6.3", post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"%x\r\n" % len(S) + S + b"\r\n0\r\n\r\n"), BAD),
    ("TE.TE", "9112 6.1", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=b"0\r\n\r\n" + S), BAD),
    ("CL.CL", "9112 6.3", post(b"Content-Length: 0", b"Content-Length: %d" % len(S), body=S), BAD),
    ("a body that looks like a request", "9112 6.2", post(b"Content-Length: %d" % len(S), body=S), FORWARDED),
    ("a chunk that looks like a request", "9112 7.1", chunked(b"%x\r\n" % len(S) + S + b"\r\n0\r\n\r\n"), FORWARDED),
    ("a GET body that looks like a request", "9110 9.3.1", get(b"Content-Length: %d" % len(S)) + S, FORWARDED),
    ("an upgrade and a request", "9110 7.8", post(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: %d" % len(S), body=S), FORWARDED),
    ("a refused request and another", "9112 9.6", b"GET  /T HTTP/1.1\r\n" + H + b"\r\n" + S, BAD),
    ("a bad chunk and a request", "9112 7.1", chunked(b"5\r\nhello\r\nx\r\n" + S), BAD),
]

CASES = HOST + LINES + METHODS + TARGETS + FIELDS + LENGTHS + CHUNKS + ENDS + SMUGGLING
