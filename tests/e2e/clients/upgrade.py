"""Asks for another protocol, and then sends a line and prints the line that comes back.

upgrade.py ADDRESS HOST
"""
import socket, sys

connection = socket.create_connection((sys.argv[1], 80), timeout=30)
connection.sendall(
    f"GET /socket HTTP/1.1\r\nhost: {sys.argv[2]}\r\n"
    "connection: upgrade\r\nupgrade: websocket\r\n\r\n".encode())
answer = connection.makefile("r", newline="\r\n")
print(answer.readline().split()[1])
while answer.readline().strip():
    pass
connection.sendall(b"there and back\r\n")
print(answer.readline().strip())
