"""What requests does, line by line: with_requests.py URL, where the origin's paths begin."""
import hashlib, io, sys
import requests

base = sys.argv[1]
session = requests.Session()

print("get", session.get(base + "/hello").text)

big = bytes(range(256)) * 8192
echo = session.post(base + "/echo", data=big).json()
print("length", echo["length"], echo["sha256"] == hashlib.sha256(big).hexdigest())

pieces = [b"a" * 10, b"b" * 70000, b"c"]
echo = session.put(base + "/echo", data=iter(pieces)).json()
print("chunked", echo["length"], echo["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest())

echo = session.post(base + "/echo", files={"file": ("name.txt", io.BytesIO(b"content"))}).json()
print("multipart", echo["length"] > 100, len(session.cookies))

echo = session.get(base + "/echo", params={"q": "a b&c", "ü": "ß"}).json()
print("query", echo["url"], [echo["fields"][at + 1] for at in range(0, len(echo["fields"]), 2)
                             if echo["fields"][at].lower() == "cookie"])

with session.get(base + "/file", stream=True) as answer:
    print("stream", sum(len(piece) for piece in answer.iter_content(1000)))

answer = session.head(base + "/file")
print("head", answer.headers["content-length"], len(answer.content))
print("statuses", [session.get(f"{base}/status/{code}").status_code for code in (204, 304, 418, 500)])
print("methods", [session.request(method, base + "/echo", data=b"x").json()["method"]
                  for method in ("PATCH", "DELETE", "OPTIONS", "PROPFIND")])
