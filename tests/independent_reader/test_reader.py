"""Writes small repositories (the document's sections 2 to 8, the other way round), reads them, and damages them."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import nightsafe_reader as reader
from primitives import hash_, hpke_schedule, hpke_secret, kdf, keyed, padme, write_varint
from test_primitives import write_cbor, write_list

PASSWORD = "pässword".encode()
RAW = (Encoding.Raw, PublicFormat.Raw)
DATA, META, SECRET = 0, 1, 2


def seal(key, aad, plain):
    return ChaCha20Poly1305(key).encrypt(bytes(12), plain, aad)


def pad(data, size):
    return (len(data).to_bytes(2, "little") + data).ljust(size, b"\0")


def header(kind):
    return b"nsafe" + kind.encode() + b"\x01\x01"


class Writer:
    """One full credential and one run."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.repository, self.credential, self.master, self.common, self.psk = (
            os.urandom(size) for size in (16, 16, 32, 32, 32))
        self.admin, self.signing, self.restore = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), None
        self.restore = X25519PrivateKey.generate()
        self.restore_public = self.restore.public_key().public_bytes(*RAW)
        self.domain = bytes(16)
        self.root = kdf("nightsafe 1 domain root", self.master + self.domain)
        self.run, self.run_key, self.secret_root = self.credential[:4] + os.urandom(16), os.urandom(32), os.urandom(32)
        self.name = reader.run_text(self.run)
        self.packs = []
        self.counted = 10  # of everything
        public = self.credential + b"\x01" + self.domain + self.signing.public_key().public_bytes(*RAW)
        self.certificate = public + self.admin.sign(b"nightsafe 1 certificate" + self.repository + public)
        self.put("nightsafe.json", b'{"nightsafe": 1, "repository": "%s"}' % self.repository.hex().encode())
        self.write_credential()
        self.record("R", f"runs/{self.name}", {1: [0, 0], 2: "host", 3: "test"})

    def put(self, key, data):
        place = self.folder / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def signed(self, key, data, admin=False):
        data, name = data if admin else data + self.certificate, key.encode()
        message = b"nightsafe 1 object" + self.repository + len(name).to_bytes(2, "little") + name + hash_(data)
        signature = (self.admin if admin else self.signing).sign(message)
        self.put(key, data + signature + (b"\0" if admin else b"\1"))

    def write_credential(self):
        salt = os.urandom(32)
        derived = argon2.low_level.hash_secret_raw(PASSWORD, salt, 1, 64, 2, 64, argon2.low_level.Type.ID, 0x13)
        data = header("C") + b"\1\1\0\0" + b"".join(n.to_bytes(4, "little") for n in (64, 1, 2))
        data += self.repository + self.credential + salt + derived[32:]
        bundle = {1: self.repository, 2: self.credential, 3: 1, 4: self.restore_public, 5: self.psk,
                  6: self.admin.public_key().public_bytes(*RAW), 7: self.common, 8: self.signing.private_bytes_raw(),
                  9: self.domain, 10: self.root, 11: self.certificate, 12: self.restore.private_bytes_raw(),
                  13: self.admin.private_bytes_raw(), 14: self.master}
        aad, salt = data[:120], os.urandom(16)
        data += seal(derived[:32], aad, pad(write_cbor(bundle), 1024))
        label = pad(write_cbor({1: "me", 2: [0, 0], 3: "host"}), 240)
        data += salt + seal(keyed(self.common, b"label" + salt), aad, label)
        self.signed(f"credentials/{self.credential.hex()}", data, admin=True)

    def record(self, kind, key, body):
        admin, salt = kind in "XFG", os.urandom(16)
        sealer = self.common if admin else keyed(self.root, b"index")
        sealed = seal(keyed(sealer, b"record" + salt), self.repository + key.encode(), write_cbor(body))
        self.signed(key, header(kind) + self.repository + self.domain + salt + sealed, admin)

    def wrap(self):
        ephemeral = X25519PrivateKey.generate()
        enc = ephemeral.public_key().public_bytes(*RAW)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.restore_public))
        info = b"nightsafe 1" + self.repository + self.run
        key, nonce = hpke_schedule(hpke_secret(shared, enc, self.restore_public), info, self.psk, b"nightsafe 1 psk")
        return enc + ChaCha20Poly1305(key).encrypt(nonce, self.run_key, b"")

    def frame(self, cls, chunks, absent=(), codec=1):
        """A frame's row: id, stored bytes, raw length, table, present, how many chunks."""
        root, secret = (self.secret_root, True) if cls == SECRET else (self.root, False)
        ids = [keyed(keyed(root, b"chunk"), chunk)[:16] for chunk in chunks]
        table = bytes([cls]) + write_varint(len(chunks))
        table += b"".join(write_varint(len(chunk)) + name for chunk, name in zip(chunks, ids))
        body = b"".join(chunk for at, chunk in enumerate(chunks) if at not in absent)
        plain = (bytes([0 if secret else codec])) + (root if secret else b"") + write_varint(len(chunks))
        for at, chunk in enumerate(chunks):
            plain += write_varint(len(chunk) * 2 + 1) + ids[at] if at in absent else write_varint(len(chunk) * 2)
        plain += zstandard.compress(body) if codec and not secret else body
        plain += bytes(-len(plain) % 4096) if secret else b""
        salt, aad = os.urandom(16), b"\x01" + self.repository + self.run + bytes([cls])
        stored = salt + seal(keyed(self.run_key, b"frame" + salt), aad, plain)
        bits = sum(1 << at for at in range(len(chunks)) if at not in absent)
        present = bits.to_bytes(-(-len(chunks) // 8), "little") if absent else b""
        return keyed(keyed(root, b"frame"), table), stored, len(body), table, present, len(chunks)

    def pack(self, rows):
        data = header("P") + self.repository + self.domain + self.run + self.wrap() + b"".join(row[1] for row in rows)
        salt, aad = os.urandom(16), self.repository + self.run + b"trailer"
        cbor = write_cbor([[row[0], len(row[1]), row[2], row[3], row[4]] for row in rows])
        trailer = salt + seal(keyed(keyed(self.root, b"index"), b"trailer" + salt), aad, cbor)
        length = len(data) + len(trailer) + 12
        data += os.urandom(padme(length) - length) + trailer + len(trailer).to_bytes(4, "little") + header("p")
        name = hash_(data)
        self.put(f"packs/{name[:1].hex()}/{self.name}-{name.hex()}", data)
        frames = [[row[0], len(row[1]), row[2], row[3][0], row[5], row[4]] for row in rows]
        self.packs.append([self.run + name, len(data), len(trailer), frames])

    def directory(self, entries):
        """The frame of a directory's stream and the fields that refer to it."""
        data = b""
        for entry in sorted(entries, key=lambda entry: entry[0]):
            data += write_varint(len(write_cbor(entry))) + write_cbor(entry)
        row = self.frame(META, [data])
        return row, {7: len(data), 16: [[row[0], 0, 1]], 18: hash_(data)}

    def segment(self):
        self.record("I", f"index/{self.name}/0", {1: self.packs})

    def snapshot(self, root):
        key = f"snapshots/{self.name}"
        public = {1: [1_700_000_000, 5], 2: "Europe/Berlin", 3: "host", 5: [], 6: 0, 7: 0, 11: "test",
                  12: {number: self.counted for number in range(13)}, 13: [["src", "files", 0]]}
        private = {1: root, 2: [b"/src"], 3: [], 4: [], 5: "me"}
        data = header("S") + self.repository + self.domain + self.run + self.wrap()
        for sealer, body, label in ((keyed(self.root, b"index"), public, b"open"), (self.run_key, private, b"sealed")):
            salt = os.urandom(16)
            aad = self.repository + key.encode() + label
            part = seal(keyed(sealer, b"manifest" + salt), aad, write_cbor(body))
            data += salt + len(part).to_bytes(4, "little") + part
        self.signed(key, data)


def entry(name, kind, mode=0o644, **more):
    fields = {0: name, 1: kind, 2: mode, 3: 0, 4: 0, 8: [1_600_000_000, 123_456_789]}
    return {**fields, **{int(key[1:]): value for key, value in more.items()}}


class Repositories(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.base = Path(temporary.name)
        (self.base / "password").write_bytes(PASSWORD + b"\r\n")
        self.writer = Writer(self.base / "repo")

    def fill(self, change=lambda entries: None):
        """A tree with a file of each sort; `change` may spoil the entries before they are written."""
        writer = self.writer
        chunks = [b"one " * 500, b"two " * 700, b"three " * 900]
        data = writer.frame(DATA, chunks)
        partial = writer.frame(DATA, chunks, absent=(0, 2), codec=0)
        secret = writer.frame(SECRET, [b"PASSWORD=x\n"])
        whole = b"".join(chunks)
        listed = chunks[1] * 100
        data_list = write_list(len(listed), hash_(listed), [(data[0], 1, 1)] * 100)
        list_row = writer.frame(META, [data_list[:40], data_list[40:]])
        content = blake3(b"PASSWORD=x\n", key=keyed(writer.secret_root, b"content")).digest()
        group, extents = os.urandom(8), [[4096, 1000], [9000, 1800]]
        sparse = bytes(4096) + chunks[1][:1000] + bytes(9000 - 5096) + chunks[1][1000:]
        entries = [
            entry(b"a", 1, _7=len(whole), _16=[[data[0], 0, 2], [data[0], 2, 1]], _18=hash_(whole), _13=group),
            entry(b"a-link", 1, _7=len(whole), _16=[[data[0], 0, 3]], _18=hash_(whole), _13=group),
            entry(b"b\xff", 1, 0o4755, _7=5, _15=b"small", _14=[[b"user.x", b"y"]], _5=b"root"),
            entry(b"c", 1, _7=len(listed), _17=[[list_row[0], 0, 2]], _18=hash_(listed)),
            entry(b"d.env", 1, 0o600, _7=11, _16=[[secret[0], 0, 1]], _18=content, _19=1),
            entry(b"e.sparse", 1, _7=1 << 20, _16=[[data[0], 1, 1]], _18=hash_(chunks[1]), _20=extents),
            entry(b"f", 3, 0o777, _11=b"../nowhere"),
            entry(b"g", 4, 0o640),
            entry(b"h", 1, _7=0, _16=[], _18=hash_(b"")),
        ]
        change(entries)
        lower, fields = writer.directory(entries)
        inner = entry(b"dir", 2, 0o750, **{f"_{key}": value for key, value in fields.items()})
        upper, fields = writer.directory([inner, entry(b"empty", 2, 0o755, _7=0, _16=[], _18=hash_(b""))])
        # The frame with absent chunks stands first, so that it is tried and found wanting.
        for rows in ([partial], [data], [secret], [list_row, lower, upper]):
            writer.pack(rows)
        writer.segment()
        writer.snapshot(entry(b"", 2, 0o755, **{f"_{key}": value for key, value in fields.items()}))
        return {b"a": whole, b"a-link": whole, b"b\xff": b"small", b"c": listed, b"d.env": b"PASSWORD=x\n", b"h": b"",
                b"e.sparse": sparse.ljust(1 << 20, b"\0")}

    def call(self, *arguments, password="password"):
        command = [sys.executable, reader.__file__, "--repo", self.base / "repo"]
        command += ["--password-file", self.base / password]
        done = subprocess.run(command + list(arguments), capture_output=True)
        self.assertNotIn(b"Traceback", done.stderr, done.stderr.decode())
        return done.returncode, done.stdout, done.stderr.decode()

    def rejected(self, why, *arguments):
        code, _, error = self.call(*(arguments or ("verify",)))
        self.assertEqual(code, 1, error)
        self.assertIn(why, error)

    def test_everything_is_read(self):
        contents = self.fill()
        code, out, error = self.call("list")
        self.assertEqual((code, error), (0, ""))
        expected = [self.writer.name, "2023-11-14T22:13:20+00:00", "host", "complete\n"]
        self.assertEqual(out.decode().split("\t"), expected)
        for index in ([], ["--no-index"]):
            self.assertEqual(self.call(*index, "verify"), (0, b"1 snapshots, 4 packs\n", ""))
            target = self.base / f"target{len(index)}"
            self.assertEqual(self.call(*index, "restore", "latest", target), (0, b"", ""))
            for name, content in contents.items():
                self.assertEqual(self.call("cat", self.writer.name[:12], b"/dir/" + name), (0, content, ""))
                place = os.path.join(os.fsencode(target), b"dir", name)
                with open(place, "rb") as file:
                    self.assertEqual(file.read(), content)
                self.assertEqual(os.stat(place).st_mtime_ns, 1_600_000_000_123_456_789)
            self.assertTrue((target / "dir/a").samefile(target / "dir/a-link"))
            self.assertEqual(os.readlink(target / "dir/f"), "../nowhere")
            self.assertEqual(os.stat(os.path.join(os.fsencode(target), b"dir/b\xff")).st_mode, 0o104755)
            self.assertEqual((target / "dir").stat().st_mode, 0o40750)
            self.assertTrue((target / "dir/g").is_fifo())

    def test_no_more_is_listed_than_is_counted(self):
        for counted, code in ((4, 0), (3, 1)):
            self.setUp()
            self.writer.counted = counted
            self.fill()
            got, _, error = self.call("restore", "latest", self.base / "target")
            self.assertEqual((got, "more entries than the manifest counts" in error), (code, code == 1))

    def test_passwords(self):
        (self.base / "wrong").write_bytes(b"wrong")
        (self.base / "decomposed").write_bytes("pa\u0308ssword\n".encode())
        self.assertEqual(self.call("list", password="wrong")[0], 12)
        self.assertEqual(self.call("list", password="decomposed")[0], 0)

    def test_every_flipped_bit_is_found(self):
        self.fill()
        for place in sorted(path for path in (self.base / "repo").rglob("*") if path.is_file() and path.suffix == ""):
            good = place.read_bytes()
            kept = len(good) // 2
            for at in {0, 6, 30, 50, 70, 100, 150, kept, len(good) - 70, len(good) - 9, len(good) - 1}:
                wrong = bytearray(good)
                wrong[at] ^= 4
                place.write_bytes(wrong)
                with self.subTest(place=place, at=at):
                    self.assertNotEqual(self.call("verify")[0], 0)
            place.write_bytes(good)
        self.assertEqual(self.call("verify")[0], 0)

    def test_objects_under_another_name(self):
        self.fill()
        other = reader.run_text(self.writer.credential[:4] + bytes(16))
        for folder in ("snapshots", "runs"):
            os.rename(self.base / f"repo/{folder}/{self.writer.name}", self.base / f"repo/{folder}/{other}")
        self.rejected("wrong signature")

    def test_missing_segments_are_survived_but_said(self):
        self.fill()
        (self.base / f"repo/index/{self.writer.name}/0").unlink()
        self.rejected("the segments don't suffice", "cat", "latest", "/dir/c")
        self.assertEqual(self.call("cat", "latest", "/dir/c")[1], b"two " * 70_000)

    def test_missing_pack(self):
        self.fill()
        for place in (self.base / "repo/packs").rglob("*-*"):
            place.unlink()
        self.rejected("nowhere")

    def test_forgotten(self):
        self.fill()
        self.writer.record("F", f"forgotten/{self.writer.name}", {1: [0, 0]})
        self.assertEqual(self.call("list"), (0, b"", ""))

    def test_stops_matter_to_writers_only(self):
        self.fill()
        self.writer.record("X", f"stops/{self.writer.name}", {1: [0, 0]})
        self.assertEqual(self.call("list")[1].count(b"\n"), 1)

    def test_a_group_joins_only_names_of_the_same_content(self):
        self.fill(lambda entries: entries[2].update({13: entries[0][13]}))
        target = self.base / "target"
        self.assertEqual(self.call("restore", "latest", target), (0, b"", ""))
        with open(os.path.join(os.fsencode(target), b"dir/b\xff"), "rb") as file:
            self.assertEqual(file.read(), b"small")
        self.assertTrue((target / "dir/a").samefile(target / "dir/a-link"))

    def test_needs(self):
        self.fill()
        self.writer.record("R", f"runs/{self.writer.name}", {0: ["holography"], 1: [0, 0], 2: "host", 3: "test"})
        self.rejected("needs features")

    def test_spoiled_entries(self):
        digest = bytes(32)
        for why, change in (
            ("content hash", lambda entries: entries[0].update({18: digest})),
            ("longer than its size", lambda entries: entries[0].update({7: 5})),
            ("shorter than its size", lambda entries: entries[0].update({7: 10**6})),
            ("list and entry differ", lambda entries: entries[3].update({18: digest})),
            ("beyond its frame", lambda entries: entries[0][16].append([entries[0][16][0][0], 3, 1])),
            ("malformed reference", lambda entries: entries[0][16].append([entries[0][16][0][0], 2, 0])),
            ("frame of another class", lambda entries: entries[4].update({19: 0})),
            ("of a secret file", lambda entries: entries[2].update({19: 1})),
            ("not exactly one", lambda entries: entries[2].update({16: []})),
            ("must not be", lambda entries: entries[2].update({0: b".."})),
            ("must not be", lambda entries: entries[2].update({0: b"x/y"})),
            ("out of order or twice", lambda entries: entries[2].update({0: b"a"})),
            ("extents out of order", lambda entries: entries[5].update({20: [[9000, 1800], [4096, 1000]]})),
            ("touching", lambda entries: entries[5].update({20: [[4096, 1000], [5096, 1800]]})),
            ("extents beyond", lambda entries: entries[5].update({7: 10_000})),
            ("fields of another type", lambda entries: entries[7].update({7: 0})),
            ("fields of another type", lambda entries: entries[0].update({11: b"x"})),
            ("impossible link target", lambda entries: entries[6].update({11: b""})),
            ("name of an owner", lambda entries: entries[2].update({5: b""})),
            ("extended attributes", lambda entries: entries[2].update({14: [[b"b", b""], [b"a", b""]]})),
            ("references of nothing", lambda entries: entries[8].update({7: 1})),
            ("unknown type", lambda entries: entries[7].update({1: 8})),
            ("permission bits", lambda entries: entries[7].update({2: 0o10000})),
        ):
            with self.subTest(why), tempfile.TemporaryDirectory() as folder:
                self.base = Path(folder)
                (self.base / "password").write_bytes(PASSWORD)
                self.writer = Writer(self.base / "repo")
                self.fill(change)
                self.rejected(why)

    def test_packs_that_lie(self):
        writer = self.writer
        row = writer.frame(DATA, [b"x" * 100])
        for why, rows in (
            ("doesn't hash to its id", [(bytes(32), *row[1:])]),
            ("several classes", [row, writer.frame(META, [b"y"])]),
            ("raw length", [(*row[:2], 99, *row[3:])]),
            ("unused bits", [(*row[:4], b"\x03", 1)]),
            ("all or no chunks", [(*row[:4], b"\x01", 1)]),
            ("all or no chunks", [(*row[:2], 0, row[3], b"\x00", 1)]),
            ("frame and trailer differ", [(row[0], writer.frame(DATA, [b"z" * 100])[1], *row[2:])]),
        ):
            writer.pack(rows)
            self.rejected(why)


if __name__ == "__main__":
    unittest.main()
