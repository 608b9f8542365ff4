"""Two WebSockets and a plain request on one HTTP/2 connection (RFC 8441), line by line.

websocket_over_h2.py URL, where the paths of an echo begin
"""
import os, socket, sys, urllib.parse
import h2.config, h2.connection, h2.events, h2.settings
import wsproto.connection, wsproto.events as ws

url = urllib.parse.urlsplit(sys.argv[1])
wire = socket.create_connection((url.hostname, url.port or 80), timeout=30)
http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
http.initiate_connection()
seen = {}  # events by stream


def turn():
    """Sends what is to be sent, and takes in what comes."""
    wire.sendall(http.data_to_send())
    data = wire.recv(65536)
    assert data, "the connection ended"
    for event in http.receive_data(data):
        if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
            http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        seen.setdefault(getattr(event, "stream_id", None), []).append(event)
    wire.sendall(http.data_to_send())


def wait(stream, kind):
    while True:
        for event in seen.get(stream, []):
            if isinstance(event, kind):
                seen[stream].remove(event)
                return event
        turn()


def send(stream, data):
    while data:
        room = min(http.local_flow_control_window(stream), http.max_outbound_frame_size)
        if room <= 0:
            turn()
            continue
        http.send_data(stream, data[:room])
        data = data[room:]
        wire.sendall(http.data_to_send())


class Socket:
    def __init__(self, path, *fields):
        self.stream = http.get_next_available_stream_id()
        http.send_headers(self.stream, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
            (":path", path), (":authority", url.netloc), ("sec-websocket-version", "13"), *fields])
        self.answer = dict(wait(self.stream, h2.events.ResponseReceived).headers)
        self.frames = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)

    def send(self, event):
        send(self.stream, self.frames.send(event))

    def receive(self):
        """The next event, a message put together from its parts."""
        parts = []
        while True:
            for event in self.frames.events():
                if isinstance(event, ws.Message):
                    parts.append(event.data)
                    if not event.message_finished:
                        continue
                    return (b"" if isinstance(event.data, (bytes, bytearray)) else "").join(parts)
                return event
            self.frames.receive_data(wait(self.stream, h2.events.DataReceived).data)


wait(None, h2.events.RemoteSettingsChanged)
print("offered", http.remote_settings.enable_connect_protocol)

one = Socket("/", ("sec-websocket-protocol", "lab.one, lab.two"))
print("status", one.answer[":status"], one.answer.get("sec-websocket-protocol"),
      "sec-websocket-accept" in one.answer, "connection" in one.answer, "upgrade" in one.answer)
two = Socket("/close/4001")
print("second", two.answer[":status"])

one.send(ws.TextMessage(data="there and back"))
print("text", one.receive())
big = os.urandom(3 << 20)
one.send(ws.BytesMessage(data=big))
print("big", one.receive() == big)
one.send(ws.Ping(payload=b"here"))
print("pong", bytes(one.receive().payload).decode())

plain = http.get_next_available_stream_id()
http.send_headers(plain, [(":method", "GET"), (":scheme", "http"), (":path", "/hello"),
                          (":authority", url.netloc)], end_stream=True)
print("plain", dict(wait(plain, h2.events.ResponseReceived).headers)[":status"],
      wait(plain, h2.events.DataReceived).data.decode())

closing = two.receive()
print("closed by the origin", int(closing.code), closing.reason)
two.send(closing.response())
one.send(ws.CloseConnection(code=4321, reason="enough"))
closing = one.receive()
print("closed by the client", int(closing.code), closing.reason)
for it in (one, two):
    # The origin ends its connection, which shows as the end of the stream or as its reset.
    if isinstance(wait(it.stream, (h2.events.StreamEnded, h2.events.StreamReset)), h2.events.StreamEnded):
        http.end_stream(it.stream)
wire.sendall(http.data_to_send())
print("ended")
