"""What a gRPC client does with one channel, line by line: with_grpc.py HOST:PORT."""
import os, queue, sys, time
import grpc

channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.max_receive_message_length", -1),
                                                      ("grpc.enable_http_proxy", 0)])
one, to = channel.unary_unary, channel.unary_stream
many, both = channel.stream_unary, channel.stream_stream
options = {"timeout": 30, "wait_for_ready": True}
raw = bytes(range(256))

answer, call = one("/lab.Echo/Unary").with_call(b"hello", metadata=[("x-raw-bin", raw)], **options)
last = dict(call.trailing_metadata())
print("unary", answer.decode(), dict(call.initial_metadata())["x-first"], last["x-last"],
      last["x-raw-bin"] == raw)
print("empty", one("/lab.Echo/Unary")(b"", **options))
big = os.urandom(8 << 20)
print("big", one("/lab.Echo/Unary")(big, **options) == big)

print("down", sum(int(it) for it in to("/lab.Echo/Down")(b"1000", **options)))
print("up", many("/lab.Echo/Up")(iter([b"x" * 1000] * 1000), **options).decode())

# Each message is sent after the answer to the one before it has come.
turns = queue.Queue()
answers = both("/lab.Echo/Both")(iter(turns.get, None), **options)
replies = []
for number in range(50):
    turns.put(b"ab%d" % number)
    replies.append(next(answers).decode())
turns.put(None)
print("both", replies[0], replies[49], list(answers))

calls = [one("/lab.Echo/Unary").future(b"%d" % number, **options) for number in range(200)]
print("at once", sum(call.result() == b"%d" % number for number, call in enumerate(calls)))


def error(call):
    try:
        return call()
    except grpc.RpcError as error:
        return error


failed = error(lambda: one("/lab.Echo/Fail")(b"", **options))
print("failed", failed.code().name, failed.details(), dict(failed.trailing_metadata())["x-why"])
answers = to("/lab.Echo/FailLate")(b"", **options)
print("failed late", next(answers).decode(), error(lambda: next(answers)).code().name)
print("unknown", error(lambda: one("/lab.Echo/None")(b"", **options)).code().name)

begun = time.monotonic()
late = error(lambda: one("/lab.Echo/Slow")(b"deadline", timeout=1, wait_for_ready=True))
print("deadline", late.code().name, time.monotonic() - begun < 5)
call = to("/lab.Echo/Slow")(b"cancelled", **options)
begun = call.initial_metadata()  # waits for it
call.cancel()
print("cancelled", dict(begun)["x-begun"])
print("and on", one("/lab.Echo/Unary")(b"still", **options).decode())
