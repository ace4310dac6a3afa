"""Streams that are made by guides: those of tests/data/deflate, and small ones that are rejected."""
import unittest
import zlib
from pathlib import Path

import nightsafe_reader as reader
from primitives import Damage

DEFLATE = Path(__file__).parent.parent / "data/deflate"
BEGIN, GUIDE, RAW, END = 30, 31, 2, 0


def follow(recipe, stream, at_once=1 << 20):
    out = bytearray()
    rebuilder = reader.Rebuilder(recipe, out.extend, "test")
    for at in range(0, len(stream), at_once):
        rebuilder.push(stream[at : at + at_once])
    rebuilder.finish()
    return bytes(out)


def step(code, number):
    return bytes([code]) + number.to_bytes(8, "little")


def begin(least=4, depth=1, level=7):
    return step(BEGIN, least << 24 | depth << 8 | level)


def guide(size, data=b"", level=7):
    return step(GUIDE, size << 32 | level << 24 | len(data)) + data


class Guides(unittest.TestCase):
    """No bytes, and any zeros, are the guide to a stored block that isn't the last one."""

    def reject(self, *steps, stream=b"abc"):
        with self.assertRaises(Damage):
            follow(b"\1" + b"".join(steps), stream)

    def test_streams_of_others(self):
        for name in ("go-1.19-6", "libdeflate-6", "node-20-6", "zopfli"):
            with self.subTest(name):
                data, recipe = (DEFLATE / f"{name}.gz").read_bytes(), (DEFLATE / f"{name}.recipe").read_bytes()
                self.assertEqual(follow(recipe, zlib.decompress(data, 31), 10_000), data)

    def test_a_changed_guide_makes_something_else(self):
        data, recipe = (DEFLATE / "go-1.19-6.gz").read_bytes(), (DEFLATE / "go-1.19-6.recipe").read_bytes()
        at = recipe.index(bytes([GUIDE]), 19) + 100
        try:
            self.assertNotEqual(follow(recipe[:at] + bytes([recipe[at] ^ 4]) + recipe[at + 1 :], zlib.decompress(data, 31)), data)
        except Damage:
            pass

    def test_stored(self):
        for steps in ([guide(3), step(RAW, 3)], [guide(1), guide(2), guide(0), step(RAW, 3)], [guide(1), step(RAW, 1), guide(2), step(RAW, 2)]):
            made = follow(b"\1" + begin() + b"".join(steps) + step(END, 0), b"abc")
            self.assertEqual(zlib.decompressobj(-15).decompress(made), b"abc")
        self.assertEqual(follow(b"\1" + begin() + guide(3) + step(RAW, 3) + step(END, 0), b"abc"), b"\0\3\0\xfc\xffabc")
        self.assertEqual(follow(b"\1" + begin() + step(END, 0), b""), b"")

    def test_guides_of_the_outer_one(self):
        made = follow(b"\1" + begin(level=1) + begin(level=2) + guide(8, level=1) + guide(3, level=2) + step(RAW, 3) + step(END, 0) * 2, b"abc")
        self.assertEqual(made, b"\0\x08\0\xf7\xff" + b"\0\3\0\xfc\xffabc")

    def test_length_of_a_guide(self):
        follow(b"\1" + begin() + guide(3, bytes(4)) + step(RAW, 3) + step(END, 0), b"abc")
        self.reject(begin(), guide(3, bytes(5)), step(RAW, 3), step(END, 0))
        self.reject(begin(), guide(3, b"\xff" * 4), step(RAW, 3), step(END, 0))  # a form of 3
        self.reject(begin(), step(GUIDE, 3 << 32 | 7 << 24 | 9) + bytes(8))
        self.reject(begin(), guide(3, bytes(65_537)), step(RAW, 3), step(END, 0))

    def test_content_and_guides_that_lack_each_other(self):
        self.reject(begin(), step(RAW, 3), step(END, 0))
        self.reject(begin(), guide(2), step(RAW, 3), step(END, 0))
        self.reject(begin(), step(RAW, 3), guide(3), step(END, 0))
        self.reject(begin(), guide(4), step(RAW, 3), step(END, 0))
        self.reject(begin(), guide(3), guide(1), step(RAW, 3), step(END, 0))
        self.reject(guide(3), step(RAW, 3))
        self.reject(begin(), guide(3, level=6), step(RAW, 3), step(END, 0))
        self.reject(begin(), guide(3), step(RAW, 3), step(END, 0), guide(0))

    def test_behind_the_last_block(self):
        data, recipe = (DEFLATE / "go-1.19-6.gz").read_bytes(), (DEFLATE / "go-1.19-6.recipe").read_bytes()
        end = recipe.index(step(END, 0) + step(5, 8))
        with self.assertRaisesRegex(Damage, "behind the last"):
            follow(recipe[:end] + guide(0, level=1) + recipe[end:], zlib.decompress(data, 31))

    def test_numbers_out_of_range(self):
        for least, depth in ((2, 1), (5, 1), (3, 0), (3, 1_025), (4 | 1 << 8, 1)):
            self.reject(begin(least, depth), guide(3), step(RAW, 3), step(END, 0))
        follow(b"\1" + begin(3, 1_024) + guide(3) + step(RAW, 3) + step(END, 0), b"abc")
        self.reject(begin(), guide(8_454_145), step(RAW, 3), step(END, 0))
        self.reject(begin(), guide(65_536), step(RAW, 65_536), step(END, 0), stream=bytes(65_536))
        self.reject(begin(), guide(3), step(RAW, 3), step(29, 0), step(END, 0))

    def test_too_many_that_wait(self):
        one = guide(1, bytes(65_536))
        self.reject(begin(), one * 513)


if __name__ == "__main__":
    unittest.main()
