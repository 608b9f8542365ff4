"""Connects to several addresses from one and the same source port, all open at once.

fixed_port.py PORT HOST ADDRESS...
"""
import socket, sys

port, host, *addresses = sys.argv[1:]
connections = []
for address in addresses:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.settimeout(30)
    connection.bind(("", int(port)))
    connection.connect((address, 80))
    connections.append(connection)
for connection in connections:
    connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    body = connection.recv(4096).decode().split("\r\n\r\n")[1].strip()
    print(connection.getsockname()[1], connection.getpeername()[0], body)
