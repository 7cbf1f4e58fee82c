# SPDX-License-Identifier: Apache-2.0
"""A plain server: python_asyncio.py HOST PORT LOG.

It logs the peer's address and port, and its own pid.
"""
import asyncio
import os
import socket
import sys

host, port, log = sys.argv[1:]


async def serve(reader, writer):
    address, port = writer.get_extra_info('peername')[:2]
    with open(log, 'a') as file:
        file.write(f'{address} {port} {os.getpid()}\n')
    await reader.read(65536)
    writer.write(b'ok\n')
    await reader.read()
    writer.close()


async def main():
    # with a host instead of a socket, start_server() would make the listener IPv6-only
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    listener = socket.create_server((host, int(port)), family=family, dualstack_ipv6=family == socket.AF_INET6)
    async with await asyncio.start_server(serve, sock=listener) as server:
        await server.serve_forever()


asyncio.run(main())
