# SPDX-License-Identifier: Apache-2.0
"""Keeps a file open whose file system (FUSE) never answers a close: slow_file.py MOUNT_POINT.

It prints the process and the descriptor. It ends at the end of its input.
"""
import ctypes
import json
import os
import struct
import sys
import threading

INIT, GETATTR, OPEN, FLUSH = 26, 3, 14, 25
ENOSYS = 38

mount_point = sys.argv[1]
device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
options = f"fd={device},rootmode=100000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None).mount(b"slow", mount_point.encode(), b"fuse", 0, options):
    sys.exit("cannot mount")


def answer(opcode):
    # include/uapi/linux/fuse.h: fuse_init_out, fuse_attr_out, fuse_open_out
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, *[0] * 8)
    if opcode == GETATTR:
        return struct.pack("<Q2I6Q10I", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o100644, 1, 0, 0, 0, 4096, 0)
    return struct.pack("<Q2I", 1, 0, 0) if opcode == OPEN else None


def serve():
    while True:
        opcode, unique = struct.unpack_from("<4xIQ", os.read(device, 1 << 20))
        if opcode == FLUSH:
            continue
        reply = answer(opcode)
        header = struct.pack("<IiQ", 16 + len(reply or b""), 0 if reply else -ENOSYS, unique)
        os.write(device, header + (reply or b""))


reader, writer = os.pipe()
if os.fork() == 0:
    # the file and the device belong to different processes: one that had both would wait for
    # itself when it ends
    os.close(device)
    fd = os.open(mount_point, os.O_RDONLY)
    os.write(writer, json.dumps({"ready": True, "pid": os.getpid(), "fd": fd}).encode())
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=serve, daemon=True).start()
print(os.read(reader, 256).decode(), flush=True)
sys.stdin.read()
os._exit(0)
