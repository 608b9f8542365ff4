"""An origin that speaks HTTP/2 by hand, with habits that are allowed and seldom seen.

h2_origin.py PORT: at most 4 streams at once, windows of 1,000 bytes that are opened again as late
as can be, and after every twentieth stream the connection is given up (GOAWAY).

/echo       what was asked, as JSON: the fields in their order, length and digest of the body, trailers
/trailers   a body and a trailer, x-sum
/hints      103, then 200
/reset/N    promises 1,000 bytes, sends N and resets the stream
"""
import asyncio, hashlib, json, sys
import h2.config, h2.connection, h2.errors, h2.events, h2.settings

STREAMS_OF_A_CONNECTION = 20


class Origin(asyncio.Protocol):
    def connection_made(self, transport):
        self.wire = transport
        self.http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 4,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        self.http.initiate_connection()
        self.asked, self.pending, self.begun, self.is_leaving = {}, {}, 0, False
        self.flush()

    def flush(self):
        self.wire.write(self.http.data_to_send())

    def data_received(self, data):
        for event in self.http.receive_data(data):
            self.take(event)
        for stream in list(self.pending):
            self.send(stream)
        self.flush()
        if self.is_leaving and not self.http.open_inbound_streams:
            self.wire.close()

    def take(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived) and self.is_leaving:
            # It is past the last stream that was promised.
            self.http.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif isinstance(event, h2.events.RequestReceived):
            self.asked[stream] = {"fields": event.headers, "body": bytearray(), "unread": 0, "trailers": []}
            self.begun += 1
            if self.begun == STREAMS_OF_A_CONNECTION:
                self.http.close_connection(h2.errors.ErrorCodes.NO_ERROR, last_stream_id=stream)
                self.http.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
                self.is_leaving = True
        elif isinstance(event, h2.events.DataReceived):
            asked = self.asked.get(stream)
            if asked is None:
                return
            asked["body"] += event.data
            asked["unread"] += event.flow_controlled_length
            if asked["unread"] >= 1000:
                self.http.acknowledge_received_data(asked["unread"], stream)
                asked["unread"] = 0
        elif isinstance(event, h2.events.TrailersReceived) and stream in self.asked:
            self.asked[stream]["trailers"] = event.headers
        elif isinstance(event, h2.events.StreamEnded) and stream in self.asked:
            self.answer(stream, self.asked.pop(stream))
        elif isinstance(event, h2.events.StreamReset):
            self.asked.pop(stream, None)
            self.pending.pop(stream, None)

    def answer(self, stream, asked):
        path = dict(asked["fields"])[":path"].split("/")[1:]
        head, body, trailers = [(":status", "200")], f"h2 {'/'.join(path)}".encode(), []
        if asked["unread"]:
            self.http.acknowledge_received_data(asked["unread"], stream)
        if path[0] == "echo":
            body = json.dumps({"fields": asked["fields"], "length": len(asked["body"]),
                               "sha256": hashlib.sha256(asked["body"]).hexdigest(),
                               "trailers": asked["trailers"]}).encode()
        elif path[0] == "trailers":
            body, trailers = b"three", [("x-sum", "3")]
        elif path[0] == "hints":
            self.http.send_headers(stream, [(":status", "103"), ("link", "</style.css>; rel=preload")])
        elif path[0] == "reset":
            self.http.send_headers(stream, head + [("content-length", "1000")])
            self.http.send_data(stream, b"x" * int(path[1]))
            return self.http.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self.http.send_headers(stream, head + [("set-cookie", "a=1"), ("set-cookie", "b=2")])
        self.pending[stream] = (body, trailers)

    def send(self, stream):
        body, trailers = self.pending[stream]
        while body and (room := min(self.http.local_flow_control_window(stream),
                                    self.http.max_outbound_frame_size)) > 0:
            self.http.send_data(stream, body[:room])
            body = body[room:]
        self.pending[stream] = (body, trailers)
        if not body:
            del self.pending[stream]
            if trailers:
                self.http.send_headers(stream, trailers, end_stream=True)
            else:
                self.http.end_stream(stream)


async def main():
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main())
