"""Asks a resolver that is down, each time with a fresh socket; prints how each try ends.

refused.py ADDRESS TRIES connected|unconnected
"""
import socket, struct, sys, time

address, tries, kind = sys.argv[1:]
name = b"".join(bytes([len(label)]) + label for label in [b"down", b"wild", b"test"]) + b"\0"
question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
for _ in range(int(tries)):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    asking = socket.socket(family, socket.SOCK_DGRAM)
    asking.settimeout(1)
    try:
        if kind == "connected":
            asking.connect((address, 53))
            asking.send(question)
        else:
            asking.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: errors for this kind as well
            asking.sendto(question, (address, 53))
        asking.recv(512)
        print("answered")
    except OSError as error:
        print(type(error).__name__)
    time.sleep(0.05)
