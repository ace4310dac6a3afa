"""Unit tests of the reader's building blocks: published vectors where there are any, else encoders written here."""
import unittest

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import nightsafe_reader as reader
import primitives
from primitives import Cursor, Damage, Record, base32, cbor, padme, write_varint

H = bytes.fromhex


def write_zigzag(value):
    return write_varint(value << 1 if value >= 0 else (-value << 1) - 1)


def write_list(size, content_hash, references, frames=None, rows=None):
    """A list (section 6); `frames` and `rows` replace what would be computed, to make wrong ones."""
    if frames is None:
        frames = list(dict.fromkeys(frame for frame, _, _ in references))
    columns, left, last = [b"", b"", b""], {}, 0
    for frame, first, count in references:
        slot = frames.index(frame)
        columns[0] += write_zigzag(slot - last)
        columns[1] += write_zigzag(first - left.get(slot, 0))
        columns[2] += write_varint(count)
        left[slot], last = first + count, slot
    out = b"\x01" + write_varint(size) + content_hash + write_varint(len(frames)) + b"".join(frames)
    out += write_varint(len(references) if rows is None else rows)
    for column in columns:
        packed = zstandard.compress(column)
        out += write_varint(len(packed)) + write_varint(len(column)) + packed
    return out


def write_cbor(value):
    """The shortest definite-length encoding (RFC 8949, section 4.2.1)."""

    def head(major, argument):
        for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if argument < 24:
                return bytes([major << 5 | argument])
            if argument < 1 << 8 * size:
                return bytes([major << 5 | info]) + argument.to_bytes(size, "big")
        raise ValueError(argument)

    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b"".join(map(write_cbor, value))
    return head(5, len(value)) + b"".join(write_cbor(key) + write_cbor(value[key]) for key in sorted(value))


class Hpke(unittest.TestCase):
    """RFC 9180, appendix A.2.2: mode_psk, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305."""

    secret = H("77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879")
    public = H("13640af826b722fc04feaa4de2f28fbd5ecc03623b317834e7ff4120dbe73062")
    enc = H("2261299c3f40a9afc133b969a97f05e95be2c514e54f3de26cbe5644ac735b04")
    info = H("4f6465206f6e2061204772656369616e2055726e")
    psk = H("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82")
    psk_id = H("456e6e796e20447572696e206172616e204d6f726961")
    shared_secret = H("4be079c5e77779d0215b3f689595d59e3e9b0455d55662d1f3666ec606e50ea7")
    sealed = H("4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff")

    def open(self, **changed):
        values = {field: getattr(self, field) for field in ("secret", "enc", "info", "sealed", "psk", "psk_id")}
        values.update(aad=b"Count-0")
        values.update(changed)
        return primitives.hpke_open(**values)

    def test_key_schedule(self):
        key, nonce = primitives.hpke_schedule(self.shared_secret, self.info, self.psk, self.psk_id)
        self.assertEqual(key.hex(), "600d2fdb0313a7e5c86a9ce9221cd95bed069862421744cfb4ab9d7203a9c019")
        self.assertEqual(nonce.hex(), "112e0465562045b7368653e7")

    def test_open(self):
        self.assertEqual(self.open(), b"Beauty is truth, truth beauty")

    def test_everything_is_bound(self):
        for field in ("enc", "info", "aad", "sealed", "psk", "psk_id", "secret"):
            value = bytearray(b"Count-0" if field == "aad" else getattr(self, field))
            value[3] ^= 1
            with self.subTest(field), self.assertRaises(Damage):
                self.open(**{field: bytes(value)})

    def test_small_order_share(self):
        with self.assertRaises(Damage):
            self.open(enc=bytes(32))


class Ed25519(unittest.TestCase):
    """Strict rules: RFC 8032 plus points that are canonical and not of small order."""

    order = 2**252 + 27742317777372353535851937790883648493

    def setUp(self):
        self.key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.signature = self.key.sign(b"message")

    def reject(self, public, signature, message=b"message"):
        with self.assertRaises(Damage):
            primitives.verify_ed25519(public, signature, message, "test")

    def test_vector(self):
        # RFC 8032, section 7.1, test 1
        public = H("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        signature = H("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                      "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
        primitives.verify_ed25519(public, signature, b"", "test")

    def test_wrong(self):
        primitives.verify_ed25519(self.public, self.signature, b"message", "test")
        self.reject(self.public, self.signature, b"massage")
        self.reject(self.public, self.signature[:-1])

    def test_scalar_beyond_the_order(self):
        scalar = int.from_bytes(self.signature[32:], "little") + self.order
        self.reject(self.public, self.signature[:32] + scalar.to_bytes(32, "little"))

    def test_small_order_and_non_canonical_points(self):
        prime, d = 2**255 - 19, -121665 * pow(121666, -1, 2**255 - 19)
        eight = primitives.ORDER_8_Y
        # y of a point of order 8: doubling it gives y = 0, which is when x² = -y² on the curve.
        x2 = (eight**2 - 1) * pow(d * eight**2 + 1, -1, prime) % prime
        self.assertEqual((x2 + eight**2) % prime, 0)
        for y in (0, 1, prime - 1, eight, prime - eight, prime, prime + 1, prime + 9):
            for sign in (0, 1 << 255):
                point = (y | sign).to_bytes(32, "little")
                self.reject(point, self.signature)
                self.reject(point, point + bytes(32))  # 0·B = R + k·A holds for the neutral element
                self.reject(self.public, point + self.signature[32:])


class Codecs(unittest.TestCase):
    def reject(self, action, *arguments):
        with self.assertRaises(Damage):
            action(*arguments)

    def test_varint(self):
        for value in (0, 1, 127, 128, 300, 2**63, 2**64 - 1):
            cursor = Cursor(write_varint(value), "test")
            self.assertEqual(cursor.varint(), value)
            cursor.end()
        for wrong in ("", "80", "8000", "ff00", "808000", "ff" * 9 + "02", "ff" * 10 + "01", "80" * 10 + "01"):
            self.reject(Cursor(H(wrong), "test").varint)

    def test_zigzag(self):
        for value in (0, -1, 1, -2, 2**63 - 1, -(2**63)):
            self.assertEqual(Cursor(write_zigzag(value), "test").zigzag(), value)

    def test_cbor(self):
        # RFC 8949, appendix A
        for text, value in (
            ("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1bffffffffffffffff", 2**64 - 1), ("20", -1),
            ("3bffffffffffffffff", -(2**64)), ("4401020304", H("01020304")), ("62c3bc", "ü"), ("83010203", [1, 2, 3]),
            ("a201020304", {1: 2, 3: 4}), ("a0", {}), ("80", []),
        ):
            self.assertEqual(cbor(H(text), "test"), value)
            self.assertEqual(write_cbor(value), H(text))

    def test_cbor_is_strict(self):
        for wrong in (
            "", "0000", "18", "1c", "1f", "5f4101ff", "7f6161ff", "9f01ff", "bf0102ff", "4401", "61ff", "8201", "a101",
            "a20101 0102", "a202010102", "a1616100", "9b" + "ff" * 8, "5b" + "ff" * 8, "bb" + "ff" * 8, "ff",
            "f4", "f6", "c000", "fb" + "00" * 8, "1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3800", "580161",
            "7800", "9800", "b800",
        ):
            with self.subTest(wrong):
                self.reject(cbor, H(wrong), "test")
        cbor(b"\x81" * 16 + b"\x00", "test")
        self.reject(cbor, b"\x81" * 17 + b"\x00", "test")
        self.reject(cbor, b"\xa1\x00" * 17 + b"\x00", "test")
        cbor(b"\x83\x00\x00\x00", "test", 4)
        self.reject(cbor, b"\x83\x00\x00\x00", "test", 3)

    def test_record(self):
        record = Record({0: [], 1: 5, 2: [-1, 999_999_999], 3: b"abc", 9: "x"}, "test")
        self.assertEqual(record.get(1, int), 5)
        self.assertEqual(record.time(2), -1)
        self.assertIsNone(record.get(4, bytes, optional=True))
        self.reject(record.get, 4, bytes)
        self.reject(record.get, 1, bytes)
        self.reject(record.get, 3, bytes, 4)
        self.reject(Record, {0: ["holography"]}, "test")
        self.reject(Record({1: -1}, "test").get, 1, int)
        self.reject(Record({1: [0, 10**9]}, "test").time, 1)

    def test_base32(self):
        self.assertEqual(base32("0" * 26), bytes(16))
        self.assertEqual(base32("z" * 25 + "w"), b"\xff" * 16)
        for run in (bytes(range(20)), b"\xff" * 20):
            self.assertEqual(reader.run_id(reader.run_text(run)), run)
        for wrong in ("0" * 25, "0" * 27, "0" * 25 + "1", "0" * 25 + "2", "i" + "0" * 25, "A" + "0" * 25, "z" * 26):
            self.reject(base32, wrong)

    def test_padme(self):
        for length, padded in ((1, 1), (8, 8), (9, 10), (100, 104), (1000, 1024), (1025, 1088), (10**6, 1015808)):
            self.assertEqual(padme(length), padded)

    def test_zstd(self):
        plain = b"nightsafe " * 100
        packed = zstandard.compress(plain)
        unsized = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
        for good in (packed, unsized):
            self.assertEqual(primitives.unzstd(good, 1000, "test"), plain)
            for wrong in (999, 1001, 0):
                self.reject(primitives.unzstd, good, wrong, "test")
            self.reject(primitives.unzstd, good + b"x", 1000, "test")
            self.reject(primitives.unzstd, good + good, 2000, "test")
            self.reject(primitives.unzstd, good[:-1], 1000, "test")
        self.reject(primitives.unzstd, b"\x50\x2a\x4d\x18\x00\x00\x00\x00", 0, "test")  # a skippable frame
        self.assertEqual(primitives.unzstd(zstandard.compress(b""), 0, "test"), b"")


class Lists(unittest.TestCase):
    a, b, c = (bytes([byte]) * 32 for byte in b"abc")

    def reject(self, data):
        with self.assertRaises(Damage):
            reader.parse_list(data, "test")

    def test_round_trip(self):
        references = [(self.a, 5, 2), (self.a, 7, 9), (self.b, 0, 65535), (self.a, 0, 1), (self.c, 3, 1)]
        for some in (references, [], references[:1], [(self.a, n, 1) for n in range(5000)]):
            size = 10**12 if some else 0
            data = write_list(size, self.c, some)
            self.assertEqual(reader.parse_list(data, "test"), (size, self.c, some))
            self.reject(data + b"\0")
            self.reject(data[:-1])
            self.reject(b"\x02" + data[1:])

    def test_rejected(self):
        one = [(self.a, 0, 1)]
        self.reject(write_list(1, self.c, [(self.a, 0, 0)]))
        self.reject(write_list(1, self.c, one, frames=[self.a, self.b]))
        self.reject(write_list(1, self.c, one, frames=[self.a, self.a]))
        self.reject(write_list(1, self.c, one, frames=[self.b, self.a]))
        self.reject(write_list(1, self.c, one + [(self.b, 0, 1)], frames=[self.b, self.a]))
        self.reject(write_list(1, self.c, one * 2, rows=1))
        self.reject(write_list(1, self.c, one, rows=2))
        self.reject(write_list(1, self.c, one, rows=2**60))
        self.reject(write_list(1, self.c, [(self.a, 65_536, 1)]))
        self.reject(write_list(1, self.c, [(self.a, 65_535, 1)]))
        self.reject(write_list(0, self.c, one))
        self.reject(write_list(1, self.c, []))
        self.reject(write_list(1, self.c, one * 2))
        good = write_list(1, self.c, one)
        self.reject(good.replace(zstandard.compress(b"\x00"), zstandard.compress(b"\x02"), 1))  # slot 1 of one
        self.reject(good.replace(zstandard.compress(b"\x00"), zstandard.compress(b"\x01"), 1))  # slot -1


if __name__ == "__main__":
    unittest.main()
