"""Connects from a socket that is bound to loopback, and prints who answers.

bound_device.py ADDRESS HOST
"""
import socket, sys

connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
connection.settimeout(30)
connection.connect((sys.argv[1], 80))
connection.sendall(f"GET / HTTP/1.1\r\nhost: {sys.argv[2]}\r\nconnection: close\r\n\r\n".encode())
answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
print(answer.split("\r\n\r\n")[1].strip())
