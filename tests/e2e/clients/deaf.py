"""Makes a listener of another process deaf, as if that had closed it: deaf.py PROCESS PORT

Takes the first of its TCP sockets that listen on PORT (pidfd_getfd(2)) and shuts it down.
"""
import ctypes, os, socket, sys

SYS_PIDFD_GETFD = 438  # on every architecture

libc = ctypes.CDLL(None, use_errno=True)
process, port = map(int, sys.argv[1:])
pidfd = os.pidfd_open(process)
for name in os.listdir(f"/proc/{process}/fd"):
    if not os.readlink(f"/proc/{process}/fd/{name}").startswith("socket:"):
        continue
    descriptor = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
    if descriptor < 0:
        sys.exit(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
    theirs = socket.socket(fileno=descriptor)
    if (theirs.family == socket.AF_INET and theirs.type == socket.SOCK_STREAM
            and theirs.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            and theirs.getsockname()[1] == port):
        theirs.shutdown(socket.SHUT_RDWR)
        sys.exit()
sys.exit(f"nothing listens on {port}")
