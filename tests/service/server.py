"""An HTTP server that answers every request with its name: server.py NAME ADDRESS PORT."""

import socket
import sys
import threading


def serve(connection, answer):
    with connection:
        head = b""
        while True:
            while b"\r\n\r\n" not in head:
                more = connection.recv(65536)
                if not more:
                    return
                head += more
            request, head = head.split(b"\r\n\r\n", 1)
            connection.sendall(answer)
            if b"connection: close" in request.lower():
                return


def main():
    name, address, port = sys.argv[1:]
    body = name.encode() + b"\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.create_server((address, int(port)), backlog=1024) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, answer), daemon=True).start()


main()
