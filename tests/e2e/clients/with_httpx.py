"""What httpx does, line by line: with_httpx.py h1|h2 URL, where the origin's paths begin."""
import asyncio, hashlib, sys
import httpx

version, base = sys.argv[1:]
options = {"http1": version == "h1", "http2": version == "h2", "timeout": 30}


def pieces():
    for number in range(50):
        yield bytes([number]) * 5000


async def many():
    async with httpx.AsyncClient(base_url=base, **options) as client:
        answers = await asyncio.gather(*(client.get(f"/n/{number}") for number in range(100)))
        return sum(answer.text == f"origin /n/{number}" for number, answer in enumerate(answers))


with httpx.Client(base_url=base, **options) as client:
    answer = client.get("/hello")
    print("get", answer.http_version, answer.text)

    echo = client.post("/echo", content=pieces()).json()
    digest = hashlib.sha256(b"".join(pieces())).hexdigest()
    print("stream up", echo["length"], echo["sha256"] == digest)

    client.cookies.update({"c": "3", "d": "4"})
    echo = client.get("/echo").json()
    cookies = [echo["fields"][at + 1] for at in range(0, len(echo["fields"]), 2)
               if echo["fields"][at].lower() == "cookie"]
    print("cookies", len(cookies), sorted(cookies[0].split("; ")))

    with client.stream("GET", "/file") as answer:
        print("stream down", sum(len(piece) for piece in answer.iter_raw()))

    answer = client.head("/file")
    print("head", answer.headers["content-length"], len(answer.content))
    print("statuses", [client.get(f"/status/{code}").status_code for code in (204, 304, 404, 503)])

print("at once", asyncio.run(many()))
