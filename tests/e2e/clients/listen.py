"""Connects, says nothing, and prints the first line the server says, or how the connection ends.

listen.py ADDRESS PORT
"""
import socket, sys

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
try:
    print(connection.makefile().readline().strip() or "end")
except ConnectionResetError:
    print("reset")
