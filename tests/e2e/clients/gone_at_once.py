"""COUNT processes, one after the other, that connect to http://HOST/ at ADDRESS, ask and end without waiting
for an answer. Prints the ids of them all."""
import os, socket, sys

address, host, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    child = os.fork()
    if child == 0:
        connection = socket.socket()
        connection.connect((address, 80))
        name = "last" if number == count - 1 else number
        connection.sendall(f"GET /{os.getpid()}/{name} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
    print(child)
