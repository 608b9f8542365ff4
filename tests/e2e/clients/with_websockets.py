"""What the package websockets does, line by line: with_websockets.py URL, of an echo."""
import asyncio, hashlib, os, sys
import websockets

base = sys.argv[1].replace("http://", "ws://")
options = {"max_size": None, "open_timeout": 30, "ping_interval": None, "proxy": None}


async def closed_with(code):
    async with websockets.connect(f"{base}/close/{code}", **options) as socket:
        await socket.wait_closed()
        return f"{socket.close_code} {socket.close_reason}"


async def echoes(**more):
    async with websockets.connect(f"{base}/", **options, **more) as socket:
        same = 0
        for message in ("", "text", "ü" * 1000, b"", os.urandom(1 << 20), os.urandom(8 << 20)):
            await socket.send(message)
            same += await socket.recv() == message
        await socket.send(["in ", "three ", "frames"])
        fragments = await socket.recv()
        await asyncio.wait_for(await socket.ping(b"here"), 30)
        await socket.close(4321, "enough")
        return same, fragments, socket.subprotocol


async def main():
    print("compressed", *await echoes())
    print("plain", *await echoes(compression=None, subprotocols=["lab.one", "lab.two"]))
    print("closed", [await closed_with(code) for code in (1000, 1001, 1011, 4001)])
    sockets = [await websockets.connect(f"{base}/", **options) for _ in range(50)]
    for number, socket in enumerate(sockets):
        await socket.send(str(number))
    print("at once", sum([await socket.recv() == str(n) for n, socket in enumerate(sockets)]))
    await asyncio.gather(*(socket.close() for socket in sockets))


asyncio.run(main())
