"""Sends one GET and prints all that comes back, in Base64, until the connection ends in whatever way.

everything.py HOST PORT PATH
"""
import base64, socket, sys

host, port, path = sys.argv[1:]
connection = socket.create_connection((host, int(port)), timeout=30)
connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
came = b""
try:
    while data := connection.recv(65536):
        came += data
except ConnectionResetError:
    pass
print(base64.b64encode(came).decode())
