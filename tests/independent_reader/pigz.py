"""Compresses as pigz does (section 6 of docs/format.md, steps 24 to 26), with the zlib that Python has."""

import zlib

BLOCK = 131_072
EMPTY = b"\0\0\xff\xff"


class Pigz:
    """Takes bytes as `zlib.compressobj` would."""

    def __init__(self, level, way):
        self.level, self.way, self.block, self.zlib = level, way, bytearray(), None
        self.begin(b"")

    def begin(self, known):
        known = {"zdict": known} if known else {}
        self.zlib = zlib.compressobj(self.level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, **known)

    def compress(self, data):
        self.block += data
        given = b""
        # Whether a block is the last is known when the next one begins.
        while len(self.block) > BLOCK:
            block = bytes(self.block[:BLOCK])
            del self.block[:BLOCK]
            given += self.ended(self.zlib.compress(block))
            if self.way != 25:
                self.begin(block[-32_768:] if self.way == 24 else b"")
        return given

    def flush(self, _mode=None):
        return self.zlib.compress(bytes(self.block)) + self.zlib.flush(zlib.Z_FINISH)

    def ended(self, data):
        """A block up to its last bit, and what pigz puts behind it."""
        # An empty block with fixed codes tells where that is: it begins with the bits 0 and 1, and only zeros follow.
        data += self.zlib.flush(zlib.Z_PARTIAL_FLUSH) + self.zlib.flush(zlib.Z_SYNC_FLUSH)
        bits = int.from_bytes(data[:-4], "little")
        length = bits.bit_length() - 2
        bits &= (1 << length) - 1
        if length % 2 or self.way == 26:
            tail = EMPTY if self.way != 26 else EMPTY + b"\0" + EMPTY
            return bits.to_bytes((length + 3 + 7) // 8, "little") + tail
        while length % 8:
            bits |= 2 << length
            length += 10
        return bits.to_bytes(length // 8, "little")
