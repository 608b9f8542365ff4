"""Connects in four ways and tells, for each, the peer that is shown and who answers.

peername.py IPV4 IPV6 HOST
"""
import socket, sys

v4, v6, host = sys.argv[1:]


def ask(kind, family, address, only_v6=None):
    connection = socket.socket(family, socket.SOCK_STREAM)
    if only_v6 is not None:
        connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
    connection.settimeout(30)
    connection.connect((address, 80))
    connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    peer, port = connection.getpeername()[:2]
    print(kind, peer, port, answer.split("\r\n\r\n")[1].strip())


ask("ipv4", socket.AF_INET, v4)
ask("ipv6", socket.AF_INET6, v6)
ask("mapped", socket.AF_INET6, f"::ffff:{v4}", only_v6=0)
ask("only-v6", socket.AF_INET6, v6, only_v6=1)
