"""Answers of a hostile backend, byte by byte, and what its client must get.

A row: its name, the rule, the bytes the backend sends, and then: `502`, `whole` (the answer stands, and
nothing of what came behind it reaches anybody), or `cut` (the client can tell that it is not whole).
The backend closes the connection behind its bytes, unless the name of the row ends in "kept open".
"""

OK = b"HTTP/1.1 200 OK\r\n"


def known(body, *fields, length=None):
    lines = b"".join(field + b"\r\n" for field in fields)
    size = len(body) if length is None else length
    return OK + lines + b"Content-Length: %d\r\n\r\n" % size + body


def chunked(coded):
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + coded


CASES = [
    ("nothing", "9112 8", b"", 502),
    ("half a status line", "9112 8", b"HTTP/1.1 200", 502),
    ("half a head", "9112 8", OK + b"X: y\r\n", 502),
    ("no HTTP", "9112 4", b"220 mail.test ESMTP\r\n", 502),
    ("HTTP/0.9", "9112 4", b"<html>hello</html>\r\n", 502),
    ("ICY", "9112 4", b"ICY 200 OK\r\n\r\n", 502),
    ("version 2.0", "9112 2.3", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("version in small letters", "9112 2.3", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("two spaces before the status", "9112 4", b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("a status of two digits", "9112 4", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("a status of four digits", "9112 4", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("a status of letters", "9112 4", b"HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("status 099", "9110 15", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("status 600", "9110 15", b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("status 999", "9110 15", b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("a NUL in the reason", "9112 4", b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", 502),
    ("LF behind the status line", "9112 2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 502),
    ("LF behind a field", "9112 2.2", OK + b"X: y\nContent-Length: 0\r\n\r\n", 502),
    ("CR in a value", "9112 2.2", known(b"", b"X: a\rb"), 502),
    ("a NUL in a value", "9110 5.5", known(b"", b"X: \0"), 502),
    ("a folded value", "9112 5.2", known(b"", b"X: a\r\n b"), 502),
    ("a space before the colon", "9112 5.1", known(b"", b"X : y"), 502),
    ("no colon", "9112 5", known(b"", b"X"), 502),
    ("no name", "9112 5", known(b"", b": y"), 502),
    ("an empty line first", "9112 2.2", b"\r\n" + known(b""), 502),
    ("Content-Length twice", "9112 6.3", known(b"hello", b"Content-Length: 5"), 502),
    ("two Content-Lengths", "9112 6.3", known(b"hello", b"Content-Length: 3"), 502),
    ("a list of lengths", "9112 6.3", OK + b"Content-Length: 5, 5\r\n\r\nhello", 502),
    ("a length with +", "9110 8.6", OK + b"Content-Length: +5\r\n\r\nhello", 502),
    ("a length in hex", "9110 8.6", OK + b"Content-Length: 0x5\r\n\r\nhello", 502),
    ("a negative length", "9110 8.6", OK + b"Content-Length: -1\r\n\r\nhello", 502),
    ("a length of 2^64", "9110 8.6", OK + b"Content-Length: 18446744073709551616\r\n\r\nhello", 502),
    ("a length and a coding", "9112 6.3", known(b"", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 502),
    ("another coding", "9112 6.1", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502),
    ("chunked twice", "9112 6.1", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    ("a coding in HTTP/1.0", "9112 6.1", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    ("101 nobody asked for", "9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello", 502),
    ("17 interim answers", "9110 15.2", b"HTTP/1.1 102 Processing\r\n\r\n" * 17 + known(b"hello"), 502),
    ("interim answers without end", "9110 15.2", b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, 502),
    ("only an interim answer", "9110 15.2", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 502),
    ("a head too large", "6585 5", known(b"", b"X: " + b"y" * 40000), 502),
    ("101 fields", "6585 5", known(b"", *[b"X: y"] * 100), 502),
    ("a head without end", "6585 5", OK + b"X: y\r\n" * 10000, 502),
    ("a body too short", "9112 8", known(b"hello", length=10), "cut"),
    ("no last chunk", "9112 8", chunked(b"5\r\nhello\r\n"), "cut"),
    ("half a chunk", "9112 8", chunked(b"a\r\nhello"), "cut"),
    ("a chunk size that is none", "9112 7.1", chunked(b"5\r\nhello\r\nx\r\n"), "cut"),
    ("a chunk size of 2^64", "9112 7.1", chunked(b"5\r\nhello\r\n10000000000000000\r\n"), "cut"),
    ("LF in the chunks", "9112 7.1", chunked(b"5\r\nhello\r\n0\n\n"), "cut"),
    ("a bad trailer", "9112 7.1.2", chunked(b"5\r\nhello\r\n0\r\nX y\r\n\r\n"), "cut"),
    ("Content-Length in a trailer", "9110 6.5.1", chunked(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"), "cut"),
    ("an answer", "9112 6.3", known(b"hello"), "whole"),
    ("an answer, kept open", "9112 6.3", known(b"hello"), "whole"),
    ("an answer in chunks", "9112 7.1", chunked(b"5\r\nhello\r\n0\r\n\r\n"), "whole"),
    ("an answer that ends with the stream", "9112 6.3", b"HTTP/1.0 200 OK\r\n\r\nhello", "whole"),
    ("an answer after an interim one", "9110 15.2", b"HTTP/1.1 102 Processing\r\n\r\n" + known(b"hello"), "whole"),
    ("bytes behind an answer, kept open", "9112 6.3", known(b"hello") + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "whole"),
    ("two answers, kept open", "9112 6.3", known(b"hello") * 2, "whole"),
    ("a line end behind an answer, kept open", "9112 6.3", known(b"hello") + b"\r\n", "whole"),
    ("bytes behind the chunks, kept open", "9112 7.1", chunked(b"5\r\nhello\r\n0\r\n\r\nevil"), "whole"),
]
