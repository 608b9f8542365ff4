"""A gRPC service whose messages are bytes: grpc_echo.py PORT."""
import sys, time
from concurrent import futures
import grpc


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-first", "hello"),))
    context.set_trailing_metadata((("x-last", "bye"), ("x-raw-bin", sent.get("x-raw-bin", b""))))
    return request


def down(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def up(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield request[::-1]


def fail(request, context):
    context.set_trailing_metadata((("x-why", "lab"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing here: 100 % ü")


def fail_late(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "after one")


def slow(request, context):
    context.add_callback(lambda: print(f"slow ended, {request.decode()}", flush=True))
    context.send_initial_metadata((("x-begun", "yes"),))
    while context.is_active():
        time.sleep(0.01)
    return b"too late"


one, to, many = (grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler,
                 grpc.stream_unary_rpc_method_handler)
methods = {"Unary": one(unary), "Down": to(down), "Up": many(up), "Fail": one(fail),
           "Both": grpc.stream_stream_rpc_method_handler(both), "FailLate": to(fail_late),
           "Slow": one(slow)}
server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", -1)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Echo", methods),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("listening", flush=True)
server.wait_for_termination()
