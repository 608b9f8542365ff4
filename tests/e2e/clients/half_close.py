"""Sends 8 MB, says that this was all, and tells the digests of what it sent and got back.

half_close.py ADDRESS PORT
"""
import hashlib, os, socket, sys, threading

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
sent = b"\0" + os.urandom(8_000_000)


def send():
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)


threading.Thread(target=send).start()
got = hashlib.sha256()
while more := connection.recv(65536):
    got.update(more)
print(hashlib.sha256(sent).hexdigest(), got.hexdigest())
