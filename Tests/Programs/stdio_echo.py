"""stdio_echo.py: copies standard input to standard output, byte by byte, until its end, and writes one line about
it to standard error: the number of bytes and their CRC-32."""

import os
import zlib

count = checksum = 0
while True:
    data = os.read(0, 65536)
    if not data:
        break
    count += len(data)
    checksum = zlib.crc32(data, checksum)
    while data:
        data = data[os.write(1, data) :]
os.write(2, b"%d bytes, CRC-32 %08x\n" % (count, checksum))
