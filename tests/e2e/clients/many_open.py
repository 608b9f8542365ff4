"""Opens many connections, keeps them all, and then sees that each leads where it was meant to:
the server there greets with its own address and sends back what it is sent.

many_open.py COUNT ADDRESS...
"""
import socket, sys

count, *addresses = sys.argv[1:]
connections = []
for number in range(int(count)):
    connection = socket.create_connection((addresses[number % len(addresses)], 80), timeout=60)
    connection.sendall(b"\0%05d" % number)
    connections.append(connection)
right = 0
for number, connection in enumerate(connections):
    expected = b"%s\n\0%05d" % (addresses[number % len(addresses)].encode(), number)
    answer = b""
    while len(answer) < len(expected):
        more = connection.recv(100)
        if not more:
            break
        answer += more
    right += answer == expected
print("open", len(connections), "right", right)
