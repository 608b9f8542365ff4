"""Resolves a name and connects to each of its addresses; prints how many there are and who
answers.

each_address.py HOST
"""
import collections, socket, sys

host = sys.argv[1]
found = {entry[4] for entry in socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)}
answers = collections.Counter()
for address in found:
    connection = socket.create_connection(address[:2], timeout=30)
    connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    answers[answer.split("\r\n\r\n")[1].strip()] += 1
print(*(f"{who} {count}" for who, count in sorted(answers.items())))
