"""The backends of the strictness suite. They believe nothing: what the proxy sends them is parsed by h11
and h2, which are strict, and any complaint of theirs is the proxy's fault.
"""

import re
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h11

from answers import CASES as ANSWERS

TOKEN = re.compile(rb"token-[a-z0-9]+-")


class Judge:
    """What all backends saw, by token, and what they complain of."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = {}
        self.complaints = []

    def note(self, target, fields, body):
        found = TOKEN.search(target)
        token = found.group() if found else target
        with self.lock:
            self.seen.setdefault(token, []).append((target, fields, body))
        return token

    def complain(self, text):
        with self.lock:
            self.complaints.append(text)


def serve(port, handle):
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def http1(judge):
    """Answers each request with its own token."""

    def handle(stream):
        stream.settimeout(20)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        request, body, raw = None, b"", b""
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    if connection.they_are_waiting_for_100_continue:
                        stream.sendall(connection.send(h11.InformationalResponse(status_code=100, headers=[])))
                    piece = stream.recv(65536)
                    raw = (raw + piece)[-4000:]
                    connection.receive_data(piece)
                elif isinstance(event, h11.Request):
                    request, body = event, b""
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    token = judge.note(request.target, request.headers, body)
                    fields = [("content-length", str(len(token)))]
                    stream.sendall(connection.send(h11.Response(status_code=200, headers=fields)))
                    if request.method != b"HEAD":
                        stream.sendall(connection.send(h11.Data(data=token)))
                    stream.sendall(connection.send(h11.EndOfMessage()) or b"")
                    if connection.our_state is not h11.DONE:
                        break
                    connection.start_next_cycle()
                else:
                    break
        except h11.RemoteProtocolError as error:
            # A request that its client broke off is broken off here too.
            if "without sending" not in str(error) and "incomplete" not in str(error):
                judge.complain(f"h11: {error}: {raw!r}")
        except OSError:
            pass
        finally:
            stream.close()

    return handle


def http2(judge):
    """The same over HTTP/2."""

    def handle(stream):
        stream.settimeout(20)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        stream.sendall(connection.data_to_send())
        open_streams = {}
        try:
            while piece := stream.recv(65536):
                for event in connection.receive_data(piece):
                    if isinstance(event, h2.events.RequestReceived):
                        open_streams[event.stream_id] = [event.headers, b""]
                    elif isinstance(event, h2.events.DataReceived):
                        open_streams[event.stream_id][1] += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamReset):
                        open_streams.pop(event.stream_id, None)
                    elif isinstance(event, h2.events.StreamEnded):
                        fields, body = open_streams.pop(event.stream_id)
                        fields = [(bytes(name), bytes(value)) for name, value in fields]
                        token = judge.note(dict(fields)[b":path"], fields, body)
                        connection.send_headers(event.stream_id, [(":status", "200")])
                        connection.send_data(event.stream_id, token, end_stream=True)
                stream.sendall(connection.data_to_send())
        except h2.exceptions.ProtocolError as error:
            judge.complain(f"h2: {error!r}")
        except OSError:
            pass
        finally:
            stream.close()

    return handle


def hostile(stream):
    """Answers `/answer/N` with the bytes of that row, everything else with the path."""
    stream.settimeout(20)
    seen = b""
    try:
        while piece := stream.recv(65536):
            seen += piece
            if b"\r\n\r\n" not in seen:
                continue
            path = seen.split(b" ")[1]
            seen = b""
            found = re.match(rb"/answer/(\d+)", path)
            if not found:
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
                continue
            name, _, answer, _ = ANSWERS[int(found.group(1))]
            stream.sendall(answer)
            if not name.endswith("kept open"):
                break
    except OSError:
        pass
    finally:
        stream.close()
