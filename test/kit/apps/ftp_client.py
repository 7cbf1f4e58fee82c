# SPDX-License-Identifier: Apache-2.0
"""Reads a file by FTP: ftp_client.py SERVER PORT SOURCE FILE [ADDRESS PORT].

It prints the server's last answer, or the error. The transfer is passive, or active if ADDRESS and
PORT are given: the server then connects to these.
"""
import ftplib
import sys

server, port, source, file, *active = sys.argv[1:]
ftp = ftplib.FTP(timeout=60, source_address=(source, 0))
ftp.connect(server, int(port))
ftp.login()
try:
    if active:
        ftp.sendport(active[0], int(active[1]))
        ftp.sendcmd(f"RETR {file}")
        print(ftp.voidresp())
    else:
        print(ftp.retrbinary(f"RETR {file}", lambda data: None))
except ftplib.Error as error:
    print(error)
