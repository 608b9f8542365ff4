"""COUNT connections to http://HOST/ at ADDRESS under USER, one after the other, each with a request that
says who makes it."""
import os, socket, sys

address, host, count, user = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if user != os.getuid():
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
for number in range(count):
    with socket.socket() as connection:
        connection.settimeout(60)
        connection.connect((address, 80))
        who = f"/{os.getpid()}/{os.getuid()}/{number}"
        request = f"GET {who} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer
