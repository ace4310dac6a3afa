"""Frames of LZ4 and Zstandard as recipes have them made (docs/format.md, section 6, steps 20 and 21).

The libraries that PyPI's packages bring must make the same bytes: liblz4 1.9.4 or 1.10.0, and libzstd 1.5.7.
"""
import lz4.frame
import zstandard

from primitives import check


class Lz4:
    """Takes bytes in pieces of 4,096, as `zlib.compressobj` would."""

    def __init__(self, level):
        # liblz4 1.9.4 has no way of its own for level 2.
        check(level != 2 or lz4.library_version_number() >= 11_000, "a level that this liblz4 doesn't have")
        self.frame, self.begun = lz4.frame.LZ4FrameCompressor(compression_level=level), False

    def compress(self, data):
        given = [] if self.begun else [self.frame.begin()]
        self.begun = True
        given += [self.frame.compress(data[at : at + 4_096]) for at in range(0, len(data), 4_096)]
        return b"".join(given)

    def flush(self, _mode):
        return self.frame.flush()


class Zstd:
    """The same of Zstandard."""

    def __init__(self, level, long):
        check(zstandard.ZSTD_VERSION == (1, 5, 7), "a version of libzstd that makes other bytes")
        parameters = zstandard.ZstdCompressionParameters(
            compression_level=level, enable_ldm=int(long), write_content_size=1
        )
        self.frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def compress(self, data):
        return self.frame.compress(data)

    def flush(self, _mode):
        return self.frame.flush()
