"""How often a JPEG makes a decoder go over all its pixels, which a few bytes can ask for a thousand times."""

import re
from typing import BinaryIO

MARKER = re.compile(rb"\xff[^\x00\xd0-\xd8\xff]")  # in compressed bytes 0xff is followed by zero or a restart's number
SEQUENTIAL = 0xC0, 0xC1
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
ALONE, END, SCAN = 0x01, 0xD9, 0xDA


def scans(f: BinaryIO) -> int:
    """The scans of the JPEG that an open file begins with, up to its end (a video may lie behind); 0 for other files.

    A sequential one whose first scan is of all components has one: what follows, decoders leave.
    """
    if f.read(2) != b"\xff\xd8":
        return 0
    content, at, found, frame = f.read(), 0, 0, (0, 0)
    while (match := MARKER.search(content, at)) and (kind := match[0][1]) != END:
        at = match.end()
        if kind == ALONE:
            continue
        length = max(2, int.from_bytes(content[at : at + 2]))
        body, at = content[at + 2 : at + length], at + length
        if kind in FRAMES:
            frame = kind, int.from_bytes(body[5:6])
        elif kind == SCAN:
            found += 1
            if frame[0] in SEQUENTIAL and int.from_bytes(body[:1]) == frame[1]:
                break
    return found
