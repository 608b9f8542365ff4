"""Somebody else's connect4 program: IPv4 connections to FROM go to TO instead.

foreign_program.py CGROUP FROM TO link|attach

Loads the program and attaches it to the cgroup by the bare system call, says so, and holds it
until its standard input ends. A link ends with this process. The older way of attaching, which
systemd uses, lasts as long as the cgroup does.
"""
import ctypes, os, platform, socket, struct, sys

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, PROG_ATTACH, LINK_CREATE = 5, 8, 28
ALLOW_MULTI = 2  # BPF_F_ALLOW_MULTI
CGROUP_SOCK_ADDR, INET4_CONNECT = 18, 10  # enum bpf_prog_type, enum bpf_attach_type

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes)
    result = libc.syscall(SYS_BPF, command, buffer, len(attributes))
    if result < 0:
        sys.exit(f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return result


def instruction(code, destination=0, source=0, offset=0, immediate=0):
    return struct.pack("<BBhI", code, source << 4 | destination, offset, immediate)


def word(address):
    """The address as the program reads it: four bytes in network order, on this machine."""
    return struct.unpack("=I", socket.inet_aton(address))[0]


cgroup, origin, target, how = sys.argv[1:]
USER_IP4 = 4  # offset in struct bpf_sock_addr
program = b"".join([
    instruction(0x61, destination=2, source=1, offset=USER_IP4),  # r2 = ctx->user_ip4
    instruction(0x56, destination=2, offset=2, immediate=word(origin)),  # if w2 != FROM skip 2
    instruction(0xB4, destination=3, immediate=word(target)),  # w3 = TO
    instruction(0x63, destination=1, source=3, offset=USER_IP4),  # ctx->user_ip4 = r3
    instruction(0xB7, destination=0, immediate=1),  # r0 = 1: go on
    instruction(0x95),  # return r0
])
code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"MIT")
loaded = bpf(PROG_LOAD, struct.pack(
    "=IIQQIIQII16sII", CGROUP_SOCK_ADDR, len(program) // 8, ctypes.addressof(code),
    ctypes.addressof(licence), 0, 0, 0, 0, 0, b"foreign", 0, INET4_CONNECT))
directory = os.open(cgroup, os.O_RDONLY)
if how == "link":
    link = bpf(LINK_CREATE, struct.pack("=IIII", loaded, directory, INET4_CONNECT, 0))
else:
    bpf(PROG_ATTACH, struct.pack("=IIII", directory, loaded, INET4_CONNECT, ALLOW_MULTI))
print("attached", flush=True)
sys.stdin.read()
