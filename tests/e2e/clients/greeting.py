"""Connects, says nothing, and prints the first line that the server says, and after how many
milliseconds it came. Then says something, and prints the answer.

greeting.py ADDRESS PORT WORD
"""
import socket, sys, time

begun = time.monotonic()
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
lines = connection.makefile()
greeting = lines.readline().strip()
print(greeting, round((time.monotonic() - begun) * 1000))
connection.sendall(sys.argv[3].encode() + b"\r\n")
print(lines.readline().strip())
