#!/usr/bin/env python3
"""Reads a nightsafe repository in a local folder. Written from docs/format.md alone, to show that it suffices.

Section numbers in the docstrings are that document's. What it tells readers to reject raises `Damage`. Owners and
extended attributes aren't restored, and paths longer than the system's PATH_MAX fail.
"""
import argparse
import hmac
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import unicodedata
import zlib
from collections import OrderedDict, namedtuple
from datetime import datetime, timedelta, timezone

import argon2.exceptions
import argon2.low_level
from blake3 import blake3

from frames import Lz4, Zstd
from gnu_gzip import GnuGzip
from guided import Guided, WAITING, WAITING_BYTES
from pigz import Pigz
from primitives import (
    BASE32, Cursor, Damage, Record, WrongPassword, base32, cbor, check, ed25519_public, hash_, hpke_open, kdf, keyed,
    padme, row_of, typed, unseal, unzstd, verify_ed25519, write_varint, x25519_public,
)

MIB = 1 << 20
MAX_CHUNK, MAX_FRAME, MAX_FRAME_CHUNKS = 8 * MIB, 8 * MIB, 65_535
MAX_OBJECT, MAX_NAME, MAX_DEPTH, MAX_XATTR = 256 * MIB, 4_096, 4_096, 64 << 10
MAX_INLINE, MAX_LIST_INLINE, MAX_SMALL = 64, 65_536, 64
MAX_ENTRY, MAX_LIST, MAX_LIST_REFERENCES, MAX_LIST_WINDOW = 16 * MIB, 3 << 30, 1 << 26, 8 * MIB
MAX_OWNER, MAX_TARGET, MAX_XATTR_NAME, MAX_EXTENTS = 1_024, 64 << 10, 255, 65_536
DATA, META, SECRET = 0, 1, 2
FILE, DIRECTORY, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK = 1, 2, 3, 4, 5, 6, 7


# --- Names and headers (sections 1 and 3) -----------------------------------------------------------------------------

RUN = r"([0-9a-f]{8}-[0-9a-hjkmnp-tv-z]{26})"
NUMBER = r"(0|[1-9][0-9]*)"
NAMES = {
    "C": r"credentials/([0-9a-f]{32})", "R": rf"runs/{RUN}", "P": rf"packs/([0-9a-f]{{2}})/{RUN}-([0-9a-f]{{64}})",
    "I": rf"index/{RUN}/{NUMBER}", "N": rf"pins/{RUN}/{NUMBER}", "S": rf"snapshots/{RUN}", "X": rf"stops/{RUN}",
    "F": rf"forgotten/{RUN}", "G": rf"gc/{RUN}", "T": rf"notes/{RUN}/{NUMBER}",
}
FOLDERS = {kind: pattern.split("/")[0] for kind, pattern in NAMES.items()}


def run_id(text):
    """The 20 bytes of a run id as it is written in names (section 3)."""
    return bytes.fromhex(text[:8]) + base32(text[9:])


def run_text(run):
    """The inverse of `run_id`."""
    number = int.from_bytes(run[4:], "big") << 2
    return run[:4].hex() + "-" + "".join(BASE32[number >> shift & 31] for shift in range(125, -1, -5))


def pack_key(pack):
    """The store key of a pack that a record names by run id and hash (section 3)."""
    check(len(pack) == 52, "a pack's name in a record has another length")
    return f"packs/{pack[20:21].hex()}/{run_text(pack[:20])}-{pack[20:].hex()}"


def check_header(data, kind, what):
    """The 8 bytes at an object's start (section 1)."""
    check(data[:5] == b"nsafe", f"{what}: not an object of nightsafe")
    check(data[5:6] == kind.encode(), f"{what}: an object of another kind")
    check(data[6:8] == b"\x01\x01", f"{what}: unknown version or suite")


class Store:
    """Objects in a local folder; a store key is the path below it."""

    def __init__(self, folder):
        self.folder = folder

    def keys(self, kind):
        """The names of all objects of a kind (section 3); what doesn't fit the pattern is ignored."""
        found = []
        for parent, folders, files in os.walk(os.path.join(self.folder, FOLDERS[kind])):
            folders.sort()
            for file in files:
                key = os.path.relpath(os.path.join(parent, file), self.folder)
                match = re.fullmatch(NAMES[kind], key, re.ASCII)
                if not match or (kind == "P" and match[1] != match[3][:2]):
                    continue
                try:
                    kind == "C" or run_id(match[2 if kind == "P" else 1])
                except Damage:
                    continue
                found.append(key)
        return sorted(found)

    def size(self, key):
        """An object's length in bytes."""
        return os.path.getsize(os.path.join(self.folder, key))

    def read(self, key, offset=0, size=None):
        """An object, or a range of it."""
        try:
            with open(os.path.join(self.folder, key), "rb") as file:
                total = os.fstat(file.fileno()).st_size
                check(total <= MAX_OBJECT, f"{key}: larger than an object may be")
                size = total - offset if size is None else size
                check(0 <= offset and 0 <= size <= total - offset, f"{key}: shorter than what is asked of it")
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            raise Damage(f"{key}: missing") from None


# --- Credentials (section 3) ------------------------------------------------------------------------------------------


def read_secret(password_file, key_file):
    """The passphrase or the secret of a key file (section 3), as (how, bytes)."""
    with open(password_file or key_file, "rb") as file:
        data = file.read()
    return (1, passphrase(data)) if password_file else (2, key_file_secret(data))


def passphrase(data):
    """What is hashed of a passphrase (section 3)."""
    return unicodedata.normalize("NFC", re.sub(r"\r?\n\Z", "", data.decode("utf-8"))).encode("utf-8")


def key_file_secret(data):
    """The secret in a key file (section 3)."""
    match = re.fullmatch(rb"nightsafe-key-1-([0-9a-f]{64})-([0-9a-f]{8})", data.strip().lower())
    secret = bytes.fromhex(match[1].decode()) if match else b""
    if not match or hash_(secret)[:4] != bytes.fromhex(match[2].decode()):
        raise WrongPassword("not a key file, or mistyped")
    return secret


def credential_keys(data, how, secret, what):
    """key ‖ commitment (section 3)."""
    memory, passes, lanes = (int.from_bytes(data[at : at + 4], "little") for at in (12, 16, 20))
    salt = data[56:88]
    if how == 2:
        check(not any(data[12:24]), f"{what}: Argon2id parameters for a key file")
        return kdf("nightsafe 1 key file", secret + salt, 64)
    good = 1 <= passes <= 64 and 1 <= lanes <= 64 and 8 * lanes <= memory <= 2 << 20
    check(good, f"{what}: Argon2id parameters beyond the limits")
    try:
        return argon2.low_level.hash_secret_raw(secret, salt, passes, memory, lanes, 64, argon2.low_level.Type.ID, 0x13)
    except (argon2.exceptions.HashingError, OverflowError) as error:
        raise Damage(f"{what}: Argon2id: {error}") from None


def unpad(data, what):
    """The inverse of *padded to n* (section 3)."""
    length = int.from_bytes(data[:2], "little")
    check(length <= len(data) - 2 and not any(data[2 + length :]), f"{what}: wrong padding")
    return data[2 : 2 + length]


class Keys:
    """What a credential's bundle gives (sections 2 and 3)."""

    def __init__(self, key, data, how, secret):
        derived = credential_keys(data, how, secret, key)
        if not hmac.compare_digest(derived[32:], data[88:120]):
            raise WrongPassword("wrong password or key")
        self.key = key
        bundle = Record(cbor(unpad(unseal(derived[:32], data[:120], data[120:1160], key), key), key), key)
        self.repository, self.credential = bundle.get(1, bytes, 16), bundle.get(2, bytes, 16)
        self.role = bundle.get(3, int)
        same = self.repository == data[24:40] and self.credential == data[40:56] and self.role == data[9]
        check(same and self.credential.hex() == key.split("/")[1], f"{key}: bundle and object differ")
        self.restore_public, self.psk = bundle.get(4, bytes, 32), bundle.get(5, bytes, 32)
        self.admin, self.common = bundle.get(6, bytes, 32), bundle.get(7, bytes, 32)
        own = read_certificate(self, bundle.get(11, bytes, 129), key)
        same = own[:3] == (self.credential, self.role, bundle.get(9, bytes, 16))
        check(same, f"{key}: bundle and certificate differ")
        root, full = bundle.get(10, bytes, 32), self.role == 1
        check(ed25519_public(bundle.get(8, bytes, 32)) == own.public, f"{key}: the signing key isn't the certificate's")
        self.restore, seed, self.master = (bundle.get(number, bytes, 32, not full) for number in (12, 13, 14))
        if full:
            same = x25519_public(self.restore) == self.restore_public and ed25519_public(seed) == self.admin
            same = same and not any(own.domain) and root == kdf("nightsafe 1 domain root", self.master + own.domain)
            check(same, f"{key}: secret keys that don't belong to the public ones")
        else:
            check(not {12, 13, 14} & set(bundle.value), f"{key}: a write-only bundle with the keys of a full one")
        label = unseal(keyed(self.common, b"label" + data[1160:1176]), data[:120], data[1176:1432], f"{key}: label")
        Record(cbor(unpad(label, key), key), key, needs=False)


def open_credential(store, how, secret):
    """The keys of the first credential that the secret opens (section 3)."""
    damaged = []
    for key in store.keys("C"):
        try:
            data = store.read(key)
            check_header(data, "C", key)
            known = data[8:9] in (b"\1", b"\2") and data[9:12] in (b"\1\0\0", b"\2\0\0")
            check(len(data) == 1497 and known, f"{key}: malformed")
            if data[8] != how:
                continue
            keys = Keys(key, data, how, secret)
            verify_signed(keys, key, data)
            return keys
        except WrongPassword:
            continue
        except Damage as error:
            damaged.append(str(error))
    check(not damaged, "; ".join(damaged))
    raise WrongPassword("wrong password or key")


# --- Signatures and records (section 3) -------------------------------------------------------------------------------

Certificate = namedtuple("Certificate", "credential role domain public")


def read_certificate(keys, data, what):
    """A certificate (section 3), verified."""
    message = b"nightsafe 1 certificate" + keys.repository + data[:65]
    verify_ed25519(keys.admin, data[65:], message, f"{what}: certificate")
    check(data[16] in (1, 2), f"{what}: certificate for an unknown role")
    return Certificate(data[:16], data[16], data[17:33], data[33:65])


def verify_signed(keys, key, data):
    """Checks the signature block (section 3); gives what stands before it and the certificate, if there is one."""
    kind = next(kind for kind, folder in FOLDERS.items() if folder == key.split("/")[0])
    check(len(data) > 8 + 65, f"{key}: too short")
    signer, signature, certificate, end = data[-1], data[-65:-1], None, len(data) - 65
    check(signer == (0 if kind in "CXFG" else 1), f"{key}: signed by another than the document demands")
    name = key.encode()
    message = b"nightsafe 1 object" + keys.repository + len(name).to_bytes(2, "little") + name + hash_(data[:end])
    public = keys.admin
    if signer == 1:
        end -= 129
        check(end > 8, f"{key}: too short")
        certificate = read_certificate(keys, data[end : end + 129], key)
        check(certificate.credential[:4].hex() == key.split("/")[1][:8], f"{key}: signed by another credential")
        public = certificate.public
    verify_ed25519(public, signature, message, key)
    foreign = certificate and certificate.role == 2 and certificate.domain != data[24:40]
    check(not foreign, f"{key}: a write-only credential's, for a domain not its own")
    return data[:end], certificate


# --- The repository ---------------------------------------------------------------------------------------------------

Location = namedtuple("Location", "pack offset stored raw cls partial")
TrailerRow = namedtuple("TrailerRow", "id location table present")
Frame = namedtuple("Frame", "id cls lengths chunks table root")
PackHeader = namedtuple("PackHeader", "run domain run_key length")


def presence(bitmap, count, what):
    """Which of `count` chunks a bitmap says are there: some, and not all (section 4)."""
    check(len(bitmap) == -(-count // 8), f"{what}: a bitmap of another length")
    bits = [bool(bitmap[at // 8] >> at % 8 & 1) for at in range(8 * len(bitmap))]
    check(not any(bits[count:]), f"{what}: unused bits of a bitmap aren't zero")
    check(any(bits[:count]) and not all(bits[:count]), f"{what}: a bitmap of all or no chunks")
    return bits[:count]


def parse_table(table, what):
    """Class and number of chunks of a frame's table (section 4)."""
    cursor = Cursor(table, what)
    cls, count = cursor.number(1), cursor.varint()
    check(cls <= SECRET and 1 <= count <= MAX_FRAME_CHUNKS, f"{what}: a table of unknown class or too many chunks")
    lengths = []
    for _ in range(count):
        lengths.append(cursor.varint())
        check(1 <= lengths[-1] <= MAX_CHUNK, f"{what}: a chunk of no or too many bytes")
        cursor.take(16)
    cursor.end()
    check(sum(lengths) <= MAX_FRAME, f"{what}: too large")
    return cls, lengths


class Repository:
    """Opens objects, finds frames and reads streams."""

    def __init__(self, folder, how, secret, use_index=True):
        self.store = Store(folder)
        try:
            about = json.loads(self.store.read("nightsafe.json"))
        except ValueError:
            raise Damage("nightsafe.json: not JSON") from None
        check(isinstance(about, dict) and about.get("nightsafe") == 1, "nightsafe.json: unknown format")
        self.keys = open_credential(self.store, how, secret)
        check(self.keys.role == 1, f"{self.keys.key}: this credential can only write")
        self.use_index, self.reported = use_index, []
        self.run_keys, self.headers, self.roots = {}, {}, {}
        self.frames = OrderedDict()  # the most recently used
        self.locations, self.has_trailers = None, False

    def report(self, error):
        """Says what was rejected, and goes on without it."""
        self.reported.append(str(error))
        print(f"nightsafe_reader: {error}", file=sys.stderr)

    # Keys (section 2)

    def root(self, domain):
        if domain not in self.roots:
            self.roots[domain] = kdf("nightsafe 1 domain root", self.keys.master + domain)
        return self.roots[domain]

    def run_key(self, run, wrap):
        """Opens a wrap (section 2)."""
        if (run, wrap) not in self.run_keys:
            info = b"nightsafe 1" + self.keys.repository + run
            opened = hpke_open(self.keys.restore, wrap[:32], info, b"", wrap[32:], self.keys.psk, b"nightsafe 1 psk")
            self.run_keys[run, wrap] = opened
        return self.run_keys[run, wrap]

    def record(self, kind, key):
        """The body of a record of the layout shared by R I N X F G T (section 3)."""
        data, _ = verify_signed(self.keys, key, self.store.read(key))
        check_header(data, kind, key)
        check(len(data) >= 72 and data[8:24] == self.keys.repository, f"{key}: of another repository, or too short")
        domain, salt = data[24:40], data[40:56]
        check(kind not in "XFG" or not any(domain), f"{key}: the domain isn't zero")
        sealer = self.keys.common if kind in "XFG" else keyed(self.root(domain), b"index")
        body = unseal(keyed(sealer, b"record" + salt), self.keys.repository + key.encode(), data[56:], key)
        return Record(cbor(body, key), key)

    # Packs and frames (section 4)

    def pack_header(self, key):
        """Repository, domain, run id and run key at a pack's start (section 4)."""
        if key not in self.headers:
            data = self.store.read(key, 0, 140)
            check_header(data, "P", key)
            run = data[40:60]
            check(data[8:24] == self.keys.repository, f"{key}: of another repository")
            check(run == run_id(key.split("/")[2][:35]), f"{key}: of another run")
            length = self.store.size(key)
            self.headers[key] = PackHeader(run, data[24:40], self.run_key(run, data[60:140]), length)
        return self.headers[key]

    def trailer(self, key):
        """The trailer's rows and length (section 4)."""
        header = self.pack_header(key)
        tail = self.store.read(key, header.length - 12, 12)
        check_header(tail[4:], "p", key)
        size = int.from_bytes(tail[:4], "little")
        check(32 <= size <= header.length - 12 - 140, f"{key}: the trailer's length is out of range")
        data = self.store.read(key, header.length - 12 - size, size)
        root = self.root(header.domain)
        aad = self.keys.repository + header.run + b"trailer"
        plain = unseal(keyed(keyed(root, b"index"), b"trailer" + data[:16]), aad, data[16:], f"{key}: trailer")
        return self.rows(key, root, plain, header.length - 12 - size), size

    def rows(self, key, root, plain, end):
        """The rows of a trailer that was opened; the pack's frames end before `end` (section 4)."""
        rows, offset, what = [], 140, f"{key}: trailer"
        for row in typed(cbor(plain, what), list, what):
            frame_id, stored, raw, table, present = row_of(row, what, bytes, int, int, bytes, bytes)
            cls, lengths = parse_table(table, what)
            hashed = cls == SECRET or keyed(keyed(root, b"frame"), table) == frame_id
            check(len(frame_id) == 32 and hashed, f"{what}: a table doesn't hash to its id")
            check(not rows or rows[0].location.cls == cls, f"{what}: frames of several classes")
            bits = presence(present, len(lengths), what) if present else [True] * len(lengths)
            there = sum(length for length, bit in zip(lengths, bits) if bit)
            check(raw == there and raw <= MAX_FRAME, f"{what}: a raw length isn't that of its chunks, or too large")
            rows.append(TrailerRow(frame_id, Location(key, offset, stored, raw, cls, not all(bits)), table, bits))
            offset += stored
        check(rows, f"{what}: no frames")
        check(offset <= end, f"{what}: its frames are longer than the pack")
        return rows

    def open_frame(self, location, sealed):
        """Opens a frame's stored bytes and computes its id (section 4)."""
        header, what = self.pack_header(location.pack), f"{location.pack}: frame at {location.offset}"
        check(location.cls <= SECRET, f"{what}: unknown class")
        aad = b"\x01" + self.keys.repository + header.run + bytes([location.cls])
        plain = unseal(keyed(header.run_key, b"frame" + sealed[:16]), aad, sealed[16:], what)
        cursor, secret = Cursor(plain, what), location.cls == SECRET
        codec = cursor.number(1)
        check(codec == 0 or (codec == 1 and not secret), f"{what}: unknown codec")
        root = cursor.take(32) if secret else self.root(header.domain)
        count = cursor.varint()
        check(1 <= count <= MAX_FRAME_CHUNKS, f"{what}: no or too many chunks")
        lengths, absent = [], {}
        for ordinal in range(count):
            value = cursor.varint()
            lengths.append(value >> 1)
            check(1 <= lengths[-1] <= MAX_CHUNK, f"{what}: a chunk of no or too many bytes")
            if value & 1:
                absent[ordinal] = cursor.take(16)
        raw = sum(length for ordinal, length in enumerate(lengths) if ordinal not in absent)
        check(sum(lengths) <= MAX_FRAME and raw, f"{what}: too large, or nothing left")
        body = cursor.take(raw if codec == 0 else cursor.left())
        body = unzstd(body, raw, what) if codec == 1 else body
        if secret:
            check(len(plain) % 4096 == 0 and cursor.left() < 4096, f"{what}: not padded to a multiple of 4,096")
            check(not any(cursor.take(cursor.left())), f"{what}: padding isn't zero")
        cursor.end()
        chunks, table, at, chunk_key = [], [bytes([location.cls]), write_varint(count)], 0, keyed(root, b"chunk")
        for ordinal, length in enumerate(lengths):
            if ordinal in absent:
                chunks.append(None)
                chunk_id = absent[ordinal]
            else:
                chunks.append(body[at : at + length])
                chunk_id = keyed(chunk_key, chunks[-1])[:16]
                at += length
            table += [write_varint(length), chunk_id]
        table = b"".join(table)
        frame_id = keyed(keyed(root, b"frame"), table)
        return Frame(frame_id, location.cls, lengths, chunks, table, root if secret else None)

    def segment(self, key):
        """The frames of which a segment speaks (section 3): pack, length, trailer length, [(frame id, location)]."""
        for name, length, trailer, frames in self.record("I", key).array(1, bytes, int, int, list):
            pack, offset, found = pack_key(name), 140, []
            for frame in frames:
                frame_id, stored, raw, cls, chunks, present = row_of(frame, key, bytes, int, int, int, int, bytes)
                good = len(frame_id) == 32 and raw <= MAX_FRAME and cls <= SECRET and 0 < chunks <= MAX_FRAME_CHUNKS
                check(good, f"{key}: a malformed frame")
                if present:
                    presence(present, chunks, key)
                found.append((frame_id, Location(pack, offset, stored, raw, cls, bool(present))))
                offset += stored
            check(offset + trailer + 12 <= length <= MAX_OBJECT, f"{key}: frames and trailer are longer than their pack")
            yield pack, length, trailer, found

    def find(self):
        """Where frames are, from the segments (section 3) or the trailers (section 4)."""
        self.locations, packs = {}, set(self.store.keys("P"))
        for key in self.store.keys("I" if self.use_index else "P"):
            try:
                if self.use_index:
                    found = [pair for pack, _, _, rows in self.segment(key) if pack in packs for pair in rows]
                else:
                    found = [(row.id, row.location) for row in self.trailer(key)[0]]
            except Damage as error:
                self.report(error)
                continue
            for frame_id, location in found:
                self.locations.setdefault(frame_id, []).append(location)

    def frame(self, frame_id, first, count):
        """The frame, with the chunks that are asked for present (sections 4 and 6)."""
        if frame_id in self.frames and None not in self.frames[frame_id].chunks[first : first + count]:
            self.frames.move_to_end(frame_id)
            return self.frames[frame_id]
        if self.locations is None:
            self.find()
        why = f"frame {frame_id.hex()}: nowhere"
        for location in self.locations.get(frame_id, []):
            try:
                check(location.stored <= MAX_OBJECT, f"{location.pack}: a frame is too large")
                frame = self.open_frame(location, self.store.read(location.pack, location.offset, location.stored))
                check(frame.id == frame_id, f"{location.pack}: another frame at {location.offset}")
                check(None not in frame.chunks[first : first + count], f"{location.pack}: chunks are absent")
            except Damage as error:
                why = str(error)
                continue
            self.frames[frame_id] = frame
            self.frames.move_to_end(frame_id)
            if len(self.frames) > 12:
                self.frames.popitem(last=False)
            return frame
        if self.use_index:  # a segment is a hint only
            self.report(f"{why}; the segments don't suffice, reading the trailers")
            self.use_index, self.locations = False, None
            return self.frame(frame_id, first, count)
        raise Damage(why)

    # Streams (section 6)

    def read_stream(self, references, cls, size, expected, sink, what):
        """Gives a stream's chunks to the sink; its length and content hash (section 6) are compared at the end."""
        hasher, root, total = blake3(), None, 0
        for frame_id, first, count in references:
            frame = self.frame(frame_id, first, count)
            check(first + count <= len(frame.lengths), f"{what}: a reference beyond its frame")
            check(frame.cls == cls, f"{what}: a frame of another class")
            if cls == SECRET:
                hasher = hasher if root else blake3(key=keyed(frame.root, b"content"))
                root = root or frame.root
            for chunk in frame.chunks[first : first + count]:
                total += len(chunk)
                check(total <= size, f"{what}: longer than its size")
                hasher.update(chunk)
                sink(chunk)
        if expected is not None:
            check(total == size, f"{what}: shorter than its size")
            check(hasher.digest() == expected, f"{what}: another content hash")

    def references(self, stream, what):
        """The references of an entry's stream or of a recipe, inline or from its list (sections 6 and 7)."""
        if stream.list is None:
            return stream.references
        data = bytearray()
        self.read_stream(stream.list, META, MAX_LIST, None, data.extend, f"{what}: list")
        size, content_hash, references = parse_list(bytes(data), f"{what}: list")
        check((size, content_hash) == (stream.stream_size, stream.stream_hash), f"{what}: list and entry differ")
        return references

    def read_file(self, entry, sink, what):
        """Gives a file's bytes, but those of holes, to the sink; its hash is compared at the end (section 6)."""
        cls = SECRET if entry.secret else DATA
        references = self.references(entry, what)
        if entry.recipe is None:
            self.read_stream(references, cls, entry.stream_size, entry.hash, sink, what)
            return
        recipe = bytearray()
        of_recipe = self.references(entry.recipe, f"{what}: recipe")
        size, content_hash = entry.recipe.stream_size, entry.recipe.stream_hash
        self.read_stream(of_recipe, DATA, size, content_hash, recipe.extend, f"{what}: recipe")
        hasher, total = blake3(), [0]

        def rebuilt(data):
            hasher.update(data)
            total[0] += len(data)
            sink(data)

        rebuilder = Rebuilder(bytes(recipe), rebuilt, what)
        self.read_stream(references, cls, entry.stream_size, entry.stream_hash, rebuilder.push, what)
        rebuilder.finish()
        check((total[0], hasher.digest()) == (entry.size, entry.hash), f"{what}: rebuilt to something else")

    # Trees (section 7)

    def directory(self, entry, what):
        """The entries of a directory (section 7)."""
        data = bytearray()
        self.read_stream(self.references(entry, what), META, entry.size, entry.hash, data.extend, what)
        return parse_directory(data, what)

    def walk(self, snapshot, skip=lambda entry: False):
        """All entries of a snapshot as (path, entry), a directory before what it holds; no more than it counts (section 8)."""
        left = snapshot.entries
        stack = [iter([(b"", snapshot.root)])]
        while stack:
            path, entry = next(stack[-1], (None, None))
            if entry is None:
                stack.pop()
                continue
            yield path, entry
            if entry.type == DIRECTORY and not skip(entry):
                children = self.directory(entry, shown(path))
                check(len(stack) <= MAX_DEPTH or not children, f"{shown(path)}: too deep")
                left -= len(children)
                check(left >= 0, f"{shown(path)}: more entries than the manifest counts")
                stack.append(iter([(path + b"/" + child.name, child) for child in children]))

    def write_file(self, entry, out, what):
        """Writes a file's content, holes as holes, and compares its hash (sections 6 and 7)."""
        if entry.inline is not None:
            (out if entry.extents is None else Extents(entry.extents, out)).write(entry.inline)
            out.truncate(entry.size)
            return
        sink = out.write if entry.extents is None else Extents(entry.extents, out).write
        self.read_file(entry, sink, what)
        out.truncate(entry.size)

    # Manifests (section 8)

    def snapshots(self):
        """All snapshots that can be opened and have no tombstone, by time."""
        gone, found = set(), []
        for key in self.store.keys("F"):
            try:
                self.record("F", key).time(1)
                gone.add(key.split("/")[1])
            except Damage as error:
                self.report(error)
        for key in self.store.keys("S"):
            if key.split("/")[1] in gone:
                continue
            try:
                found.append(Snapshot(self, key))
            except Damage as error:
                self.report(error)
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def snapshot(self, name):
        """The snapshot with a unique prefix of its id, or the latest complete one."""
        if name == "latest":
            found = [snapshot for snapshot in self.snapshots() if snapshot.state == "complete"][-1:]
        else:
            found = [snapshot for snapshot in self.snapshots() if snapshot.id.startswith(name)]
        check(len(found) == 1, f"{name}: no snapshot, or several")
        return found[0]


def parse_directory(data, what):
    """The entries of a directory's stream (section 7)."""
    cursor, entries, last = Cursor(data, what), [], b""
    while cursor.left():
        length = cursor.varint()
        check(length <= MAX_ENTRY, f"{what}: an entry of more than 16 MiB")
        child = Entry(cbor(cursor.take(length), what, 1 << 20), what)
        name = child.name
        check(is_name(name), f"{what}: a name that must not be")
        check(name > last, f"{what}: names out of order or twice")
        last = name
        entries.append(child)
    return entries


def parse_list(data, what):
    """A list (section 6): the stream's length, its content hash, its references."""
    cursor = Cursor(data, what)
    check(cursor.number(1) == 1, f"{what}: unknown version")
    size, content_hash, frames = cursor.varint(), cursor.take(32), cursor.varint()
    check(frames * 32 <= cursor.left(), f"{what}: ends too early")
    ids = [cursor.take(32) for _ in range(frames)]
    check(len(set(ids)) == frames, f"{what}: a frame id twice")
    count = cursor.varint()
    check(count <= min(MAX_LIST_REFERENCES, size), f"{what}: too many references")
    check((count == 0) == (size == 0), f"{what}: no references, but bytes")
    columns = []
    for _ in range(3):
        packed, raw = cursor.varint(), cursor.varint()
        check(count <= raw <= 10 * count, f"{what}: a column of too few or too many bytes")
        columns.append(Cursor(unzstd(cursor.take(packed), raw, what, MAX_LIST_WINDOW), what))
    cursor.end()
    slots, firsts, counts = columns
    references, left, slot, seen = [], {}, 0, 0
    for _ in range(count):
        slot += slots.zigzag()
        check(0 <= slot < frames, f"{what}: a slot out of range")
        check(slot <= seen, f"{what}: frame ids not in order of first use")
        seen = max(seen, slot + 1)
        first, chunks = left.get(slot, 0) + firsts.zigzag(), counts.varint()
        check(0 <= first and chunks and first + chunks <= MAX_FRAME_CHUNKS, f"{what}: a reference out of range")
        left[slot] = first + chunks
        references.append((ids[slot], first, chunks))
    for column in columns:
        column.end()
    check(seen == frames, f"{what}: frame ids that aren't used")
    return size, content_hash, references


# The fields that not every entry may have (section 7), by the types that they are of.
OF_TYPES = (
    ((FILE, DIRECTORY), {7, 16, 17, 18}), ((FILE,), {15, 20, 21}), ((SYMLINK,), {11}), ((CHARACTER, BLOCK), {12}),
    ((FILE, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK), {13}),
)


class Extents:
    """Puts a sparse file's stream where its data extents say (section 7)."""

    def __init__(self, extents, out):
        self.rest, self.out, self.left = iter(extents), out, 0

    def write(self, data):
        while data:
            if not self.left:
                offset, self.left = next(self.rest)  # the sum of the extents is the stream's length
                self.out.seek(offset)
            self.out.write(data[: self.left])
            data, self.left = data[self.left :], max(self.left - len(data), 0)


def is_name(name):
    """Whether an entry of a directory can have this name (section 7)."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name and len(name) <= MAX_NAME


def check_path(path, what):
    """A path of a problem or a secret (section 8)."""
    names = path.split(b"/") if path else []
    check(len(names) <= MAX_DEPTH and all(map(is_name, names)), f"{what}: an impossible path")


class Recipe:
    """Where the recipe of an expanded file is, and what the stream is like that it takes (section 6)."""

    def __init__(self, value, what):
        record = Record(value, what, needs=False)
        self.of = record.get(0, int), record.get(1, bytes, 32)
        self.stream_size, self.stream_hash = record.get(2, int), record.get(3, bytes, 32)
        self.references = record.array(4, bytes, int, int, optional=True)
        self.list = record.array(5, bytes, int, int, optional=True)
        given = [field for field in (self.references, self.list) if field is not None]
        check(len(given) == 1 and self.stream_size > 0, f"{what}: not exactly one of references and list")
        limit = MAX_INLINE if self.list is None else MAX_LIST_INLINE
        check(1 <= len(given[0]) <= limit, f"{what}: too many references, or none")
        for frame_id, first, count in given[0]:
            good = len(frame_id) == 32 and count >= 1 and first + count <= MAX_FRAME_CHUNKS
            check(good, f"{what}: a malformed reference")
        check(record.get(6, int) in (0, 1), f"{what}: neither whole nor not")


class Deflate:
    """Compresses what passes through (section 6, steps 16 to 28)."""

    def __init__(self, compressor, sink):
        self.zlib = compressor
        self.held, self.given, self.sink = bytearray(), 0, sink

    def give(self, data):
        self.given += len(data)
        self.sink(data)

    def push(self, data):
        self.held += data
        while len(self.held) >= 65_536:
            self.give(self.zlib.compress(bytes(self.held[:65_536])))
            del self.held[:65_536]

    def flush(self):
        data = self.zlib.compress(bytes(self.held))
        self.held.clear()
        self.give(data if isinstance(self.zlib, (GnuGzip, Pigz, Lz4, Zstd)) else data + self.zlib.flush(zlib.Z_SYNC_FLUSH))

    def end(self):
        self.give(self.zlib.compress(bytes(self.held)) + self.zlib.flush(zlib.Z_FINISH))

    def cut(self):
        pass


def compressor(code, number, what):
    """What steps 16 to 28 compress with."""
    if code == 20:
        return Lz4(number)
    if code == 21:
        return Zstd((number & 0xFFFF_FFFF) - 131_072, number >> 32 == 1)
    other, level = divmod(number, 256)
    check(code < 27, f"{what}: compressed by a library that Python doesn't have: miniz_oxide 0.9.1 (27) or zlib-rs 0.6.8 (28)")
    if code in (17, 18, 19):
        return GnuGzip(level, other or None, code == 19)
    if code in (24, 25, 26):
        return Pigz(level, code)
    return zlib.compressobj(level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY)


def in_range(code, number):
    """Whether the number of a step that begins something can be one."""
    if code == 21:
        level = number & 0xFFFF_FFFF
        return number >> 32 <= 1 and level <= 131_091 and level != 131_072
    if code in (20, 32):
        return 0 <= number <= (12 if code == 20 else 0)
    if code == 30:
        return number >> 24 in (3, 4) and 1 <= number >> 8 & 0xFFFF <= 1_024
    other, level = divmod(number, 256)
    return 1 <= level <= 9 and other in {18: range(1, 10), 28: range(6, 17)}.get(code, (0,))


class Pieces:
    """Puts what passes through into pieces (section 6, steps 32 and 33)."""

    def __init__(self, sink):
        self.sizes, self.left, self.waiting, self.given, self.sink = [], 0, bytearray(), 0, sink

    def give(self, data):
        self.given += len(data)
        self.sink(bytes(data))

    def begin(self):
        count, self.left = self.sizes[0]
        self.sizes[0] = (count - 1, self.left)
        if count == 1:
            self.sizes.pop(0)
        self.give(b"\0" + self.left.to_bytes(4, "little"))

    def push(self, data):
        self.waiting += data
        while self.waiting and (self.left or self.sizes):
            if not self.left:
                self.begin()
            part = self.waiting[: self.left]
            del self.waiting[: self.left]
            self.left -= len(part)
            self.give(part)

    def end(self):
        self.push(b"")
        check(not (self.waiting or self.left or self.sizes), "pieces of other sizes")
        self.give(bytes(5))

    def cut(self):
        self.push(b"")
        check(not self.waiting, "pieces of other sizes")
        if self.sizes:
            check(not self.left and len(self.sizes) == 1 and self.sizes[0][0] == 1, "pieces that aren't there")
            self.begin()


class Rebuilder:
    """Follows a recipe (section 6): takes the stream, gives the file."""

    def __init__(self, recipe, sink, what):
        self.recipe, self.at, self.sink, self.what = recipe, 1, sink, what
        self.stages, self.taking, self.left, self.piece = [], None, 0, None
        check(recipe[:1] == b"\1", f"{what}: a recipe of another version")

    def give(self, data):
        (self.stages[-1].push if self.stages else self.sink)(data)

    def push(self, data):
        while data:
            if self.taking is None:
                check(self.step(), f"{self.what}: the stream is too long")
                continue
            now, data = data[: self.left], data[self.left :]
            self.left -= len(now)
            if self.taking == 2:
                self.give(now)
            elif self.taking == 3:
                self.unframe(now)
            if not self.left:
                check(self.taking != 3 or not self.piece, f"{self.what}: a piece isn't whole")
                self.taking = None

    def unframe(self, data):
        self.piece += data
        while len(self.piece) >= 5:
            length = int.from_bytes(self.piece[1:5], "little")
            check(self.piece[0] == 0 and 0 < length < 1 << 31, f"{self.what}: a piece without a length")
            if len(self.piece) < 5 + length:
                break
            self.give(bytes(self.piece[5 : 5 + length]))
            del self.piece[: 5 + length]

    def bytes_of_step(self, length, most, what):
        """What follows a step."""
        data = self.recipe[self.at : self.at + length]
        check(len(data) == length <= most, f"{self.what}: the length of a {what}")
        self.at += length
        return data

    def guide(self, number):
        size, level, length = number >> 32, number >> 24 & 255, number & 0xFF_FFFF
        check(size <= MAX_CHUNK + 65_536, f"{self.what}: a guide to too much")
        guide = self.bytes_of_step(length, 65_536, "guide")
        all_guided = [stage for stage in self.stages if isinstance(stage, Guided)]
        of_level = [stage for stage in all_guided if stage.level == level]
        check(of_level, f"{self.what}: a guide to nothing")
        of_level[-1].guide(size, guide)
        count, length = map(sum, zip(*(stage.waiting() for stage in all_guided)))
        check(count <= WAITING and length <= WAITING_BYTES, f"{self.what}: too many guides that wait")

    def step(self):
        """Does the next step; whether there was one."""
        if self.at == len(self.recipe):
            return False
        check(self.at + 9 <= len(self.recipe), f"{self.what}: a recipe that ends within a step")
        code, number = self.recipe[self.at], int.from_bytes(self.recipe[self.at + 1 : self.at + 9], "little")
        self.at += 9
        if code in (2, 3, 4):
            check(number >= 1, f"{self.what}: a step that does nothing")
            self.taking, self.left, self.piece = code, number, bytearray()
        elif code == 5:
            check(number >= 1, f"{self.what}: a step that does nothing")
            self.give(self.bytes_of_step(number, 65_536, "literal"))
        elif code in (16, 17, 18, 19, 20, 21, 24, 25, 26, 27, 28, 30, 32):
            check(len(self.stages) < 16, f"{self.what}: too many steps in each other")
            check(in_range(code, number), f"{self.what}: a number out of range")
            nested = code == 21 and any(isinstance(getattr(stage, "zlib", None), Zstd) for stage in self.stages)
            check(not nested, f"{self.what}: one frame of Zstandard in another")
            sink = self.stages[-1].push if self.stages else self.sink
            if code == 30:
                self.stages.append(Guided(number, sink, self.what))
            else:
                self.stages.append(Pieces(sink) if code == 32 else Deflate(compressor(code, number, self.what), sink))
        elif code == 29:
            check(number == 0, f"{self.what}: a number for nothing")
            check(self.stages and isinstance(self.stages[-1], Deflate), f"{self.what}: a flush of nothing")
            self.stages[-1].flush()
        elif code == 31:
            self.guide(number)
        elif code == 33:
            count, size = number >> 32, number & 0xFFFF_FFFF
            check(count >= 1 and 1 <= size < 1 << 31, f"{self.what}: pieces without a size")
            pieces = [stage for stage in self.stages if isinstance(stage, Pieces)]
            check(pieces, f"{self.what}: sizes of no pieces")
            pieces[-1].sizes.append((count, size))
        else:
            check(code in (0, 1) and self.stages, f"{self.what}: an unknown step, or an end of nothing")
            stage = self.stages.pop()
            if code == 0:
                check(number == 0, f"{self.what}: a number for nothing")
                stage.end()
            else:
                stage.cut()
                check(stage.given == number, f"{self.what}: a cut elsewhere")
        return True

    def finish(self):
        while self.taking is None and self.step():
            pass
        check(self.taking is None, f"{self.what}: the stream is too short")
        check(not self.stages, f"{self.what}: a recipe that ends before what it began")


class Entry:
    """An entry of a directory (section 7)."""

    def __init__(self, value, what):
        record = Record(value, what, needs=False)
        self.name, self.type = record.get(0, bytes), record.get(1, int)
        what = record.what = f"{what}/{shown(self.name)}"
        check(FILE <= self.type <= BLOCK, f"{what}: unknown type")
        self.mode, self.uid, self.gid = record.get(2, int), record.get(3, int), record.get(4, int)
        check(self.mode <= 0o7777, f"{what}: more than permission bits")
        check(max(self.uid, self.gid) < 1 << 32, f"{what}: a number of an owner beyond 32 bits")
        for name in (5, 6):
            owner = record.get(name, bytes, optional=True)
            check(owner is None or 1 <= len(owner) <= MAX_OWNER, f"{what}: an impossible name of an owner")
        for types, fields in OF_TYPES:
            check(self.type in types or not fields & set(record.value), f"{what}: fields of another type")
        self.mtime = record.time(8)
        record.time(9, optional=True), record.time(10, optional=True)
        self.target = record.get(11, bytes) if self.type == SYMLINK else None
        possible = self.target is None or (1 <= len(self.target) <= MAX_TARGET and b"\0" not in self.target)
        check(possible, f"{what}: an impossible link target")
        self.device = row_of(record.get(12, list, 2), what, int, int) if self.type in (CHARACTER, BLOCK) else None
        check(not self.device or max(self.device) < 1 << 32, f"{what}: a device's number beyond 32 bits")
        self.group = record.get(13, bytes, 8, optional=True)
        last = b""
        for name, attribute in record.array(14, bytes, bytes, optional=True) or []:
            good = last < name and len(name) <= MAX_XATTR_NAME and b"\0" not in name and len(attribute) <= MAX_XATTR
            check(good, f"{what}: extended attributes out of order, impossible or too large")
            last = name
        flags = record.get(19, int, optional=True) or 0
        self.secret = bool(flags & 1)
        if self.type in (FILE, DIRECTORY):
            self.content(record, what)

    def content(self, record, what):
        """The fields of files and directories."""
        self.size = self.stream_size = record.get(7, int)
        self.inline = record.get(15, bytes, optional=True)
        self.references = record.array(16, bytes, int, int, optional=True)
        self.list = record.array(17, bytes, int, int, optional=True)
        self.hash, self.extents = None, None
        given = [field for field in (self.inline, self.references, self.list) if field is not None]
        check(len(given) == 1, f"{what}: not exactly one of content, references and list")
        if self.inline is not None:
            check(not self.secret, f"{what}: content of a secret file in its entry")
            check(18 not in record.value, f"{what}: a hash beside content")
        else:
            limit = MAX_INLINE if self.list is None else MAX_LIST_INLINE
            check(len(given[0]) <= limit, f"{what}: too many references")
            for frame_id, first, count in given[0]:
                good = len(frame_id) == 32 and count >= 1 and first + count <= MAX_FRAME_CHUNKS
                check(good, f"{what}: a malformed reference")
            self.hash = record.get(18, bytes, 32)
        self.extents = record.array(20, int, int, optional=True)
        if self.extents is not None:
            end = -1
            for offset, length in self.extents:
                check(offset > end and length >= 1, f"{what}: extents out of order, or touching")
                end = offset + length
            check(end <= self.size and len(self.extents) <= MAX_EXTENTS, f"{what}: extents beyond the file, or too many")
            self.stream_size = sum(length for _, length in self.extents)
        if self.inline is not None:
            check(len(self.inline) == self.stream_size <= MAX_SMALL, f"{what}: content of another length")
        self.recipe, self.stream_hash = None, self.hash
        if 21 in record.value:
            alone = self.inline is None and self.extents is None and not self.secret
            check(self.type == FILE and alone, f"{what}: a recipe of what can't be expanded")
            self.recipe = Recipe(record.get(21, dict), f"{what}: recipe")
            self.stream_size, self.stream_hash = self.recipe.of
        if self.inline is None:
            check(bool(given[0]) == bool(self.stream_size), f"{what}: references of nothing, or none of something")


    def link_key(self):
        """What the names of one file agree in (section 7)."""
        if self.type != FILE:
            return self.group, self.type, self.target, repr(self.device)
        return self.group, self.type, self.size, self.hash, self.inline, repr(self.extents)


class Snapshot:
    """A manifest (section 8)."""

    def __init__(self, repository, key):
        keys = repository.keys
        data = repository.store.read(key)
        self.hash = hash_(data)
        data, self.certificate = verify_signed(keys, key, data)
        check_header(data, "S", key)
        cursor = Cursor(data, key)
        cursor.take(8)
        check(cursor.take(16) == keys.repository, f"{key}: of another repository")
        domain, run, wrap = cursor.take(16), cursor.take(20), cursor.take(80)
        self.id = key.split("/")[1]
        check(run == run_id(self.id), f"{key}: of another run")
        parts, base = [], keys.repository + key.encode()
        sealers = (keyed(repository.root(domain), b"index"), repository.run_key(run, wrap))
        for sealer, label in zip(sealers, (b"open", b"sealed")):
            salt = cursor.take(16)
            sealed = cursor.take(cursor.number(4))
            plain = unseal(keyed(sealer, b"manifest" + salt), base + label, sealed, f"{key}: {label.decode()} part")
            parts.append(Record(cbor(plain, key), key))
        cursor.end()
        self.read_open(parts[0], key)
        self.read_sealed(parts[1], key)

    def read_open(self, public, key):
        """The open part."""
        self.time, self.host, state = public.time(1), public.get(3, str), public.get(6, int)
        self.sequence, self.previous = public.get(7, int), public.get(8, bytes, 32, optional=True)
        check(state in (0, 1), f"{key}: unknown state")
        self.state = ("complete", "incomplete")[state]
        for size in public.array(10, bytes, optional=True) or []:
            check(len(size) == 20, f"{key}: a malformed run id")
        public.get(2, str), public.get(4, str, optional=True), public.array(5, str), public.get(11, str)
        public.get(9, bytes, 20, optional=True)
        statistics = Record(public.get(12, dict), key, needs=False)
        self.entries = sum([statistics.get(number, int) for number in range(13)][:3])
        for *_, source in public.array(13, str, str, int):
            check(source in (0, 1), f"{key}: unknown state of a source")

    def read_sealed(self, private, key):
        """The sealed part."""
        self.root = Entry(private.get(1, dict), key)
        check(self.root.type == DIRECTORY and self.root.name == b"", f"{key}: the top isn't a directory without name")
        private.array(2, bytes), private.get(5, str, optional=True)
        for path, _, _ in private.array(3, bytes, int, str):
            check_path(path, key)
        for path, names in private.array(4, bytes, list):
            check_path(path, key)
            for name in names:
                typed(name, str, key)
        self.databases = private.get(6, list, optional=True) or []
        for database in self.databases:
            check_path(database[2], key)
            for role in database[16]:
                check(role[1] in (0, 1) and role[3] in (0, 1), f"{key}: neither yes nor no")
        for dump in private.array(10, dict, optional=True) or []:
            read_dump(Record(dump, key, needs=False))
        application = private.get(7, dict, optional=True) or {2: []}
        for variable in application[2]:
            check(variable[1] in (0, 1), f"{key}: unknown use of a key")


def read_dump(dump):
    """What is told of a dump, or an export, among the files."""
    key = dump.what
    check_path(dump.get(0, bytes), key)
    dump.get(1, int), dump.get(2, bytes, 32), dump.get(3, str, optional=True)
    if (contents := dump.get(4, dict, optional=True)) is not None:
        contents = Record(contents, key, needs=False)
        for field in range(4):
            contents.get(field, str)
        contents.array(4, str), contents.get(6, int, optional=True)
        for table in contents.array(5, dict):
            table = Record(table, key, needs=False)
            table.get(0, str), table.get(1, str)
            for field in range(2, 7):
                table.get(field, int, optional=True)
        for ledger in contents.array(7, dict, optional=True) or []:
            ledger = Record(ledger, key, needs=False)
            ledger.get(0, str), ledger.get(1, str), ledger.get(2, str)
            ledger.array(3, str), ledger.get(4, bytes, 32), ledger.array(5, str)
    if (sidecar := dump.get(5, dict, optional=True)) is not None:
        sidecar = Record(sidecar, key, needs=False)
        check_path(sidecar.get(0, bytes), key), sidecar.array(1, str, str)
    if (export := dump.get(6, dict, optional=True)) is not None:
        read_export(Record(export, key, needs=False))


def read_export(export):
    """What is told of an application's export."""
    export.get(0, str), export.get(1, str), export.get(2, int), export.get(3, str), export.get(6, str)
    export.get(4, str, optional=True), export.get(5, str, optional=True), export.array(9, str)
    for table in export.array(7, dict):
        table = Record(table, export.what, needs=False)
        table.get(0, str), table.get(1, int), table.get(2, int, optional=True), table.get(3, int, optional=True)
        table.get(4, bytes, 32, optional=True)
    if (files := export.get(8, dict, optional=True)) is not None:
        files = Record(files, export.what, needs=False)
        files.get(0, int), files.get(1, int)


# --- Commands ---------------------------------------------------------------------------------------------------------


def shown(path):
    """Bytes of a path, escaped so that they are safe to print."""
    return path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()


def shown_time(nanoseconds):
    """A time as RFC 3339, in UTC."""
    try:
        return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=nanoseconds // 1000)).isoformat()
    except OverflowError:
        return f"@{nanoseconds // 10**9}"


def command_list(repository, _):
    """Prints id, time, host and state of each snapshot."""
    for snapshot in repository.snapshots():
        host = snapshot.host.encode("unicode_escape").decode()
        print(snapshot.id, shown_time(snapshot.time), host, snapshot.state, sep="\t")


def command_cat(repository, arguments):
    """Writes a file's bytes to standard output, after all of them were compared."""
    entry = repository.snapshot(arguments.snapshot).root
    for name in filter(None, os.fsencode(arguments.path).split(b"/")):
        children = repository.directory(entry, arguments.path) if entry.type == DIRECTORY else []
        entry = next((child for child in children if child.name == name), None)
        check(entry, f"{shown(os.fsencode(arguments.path))}: not in the snapshot")
    check(entry.type == FILE, f"{shown(os.fsencode(arguments.path))}: not a file")
    with tempfile.TemporaryFile() as out:
        repository.write_file(entry, out, arguments.path)
        out.seek(0)
        shutil.copyfileobj(out, sys.stdout.buffer, MIB)
        sys.stdout.buffer.flush()


def command_restore(repository, arguments):
    """Restores contents, names, links, modes and times into a new or empty folder."""
    target, linked, folders = os.fsencode(arguments.target), {}, []
    os.makedirs(target, exist_ok=True)
    check(not os.listdir(target), f"{shown(target)}: isn't empty")
    for path, entry in repository.walk(repository.snapshot(arguments.snapshot)):
        place, what = target + path, shown(path)
        if entry.group is not None:
            first = linked.setdefault(entry.link_key(), place)
            if first != place:
                os.link(first, place, follow_symlinks=False)
                continue
        if entry.type == DIRECTORY:
            if path:
                os.mkdir(place, 0o700)
            folders.append((place, entry))
            continue
        if entry.type == FILE:
            try:
                with open(place, "xb") as out:
                    repository.write_file(entry, out, what)
            except Damage:
                os.unlink(place)
                raise
        elif entry.type == SYMLINK:
            os.symlink(entry.target, place)
            os.utime(place, ns=(entry.mtime, entry.mtime), follow_symlinks=False)
            continue
        else:
            kinds = {FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK, CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK}
            try:
                os.mknod(place, kinds[entry.type] | 0o600, os.makedev(*entry.device) if entry.device else 0)
            except PermissionError:
                repository.report(f"{what}: devices need more rights; left out")
                continue
        finish(place, entry)
    for place, entry in reversed(folders):
        finish(place, entry)


def finish(place, entry):
    """Mode and time, after the content."""
    os.chmod(place, entry.mode)
    os.utime(place, ns=(entry.mtime, entry.mtime))


def verify_pack(repository, key):
    """Name = hash, length, trailer, and each frame against its row (section 4)."""
    data = repository.store.read(key)
    check(hash_(data).hex() == key[-64:], f"{key}: its bytes don't hash to its name")
    rows, size = repository.trailer(key)
    length = 140 + sum(row.location.stored for row in rows) + size + 12
    check(len(data) == padme(length), f"{key}: not padded to the length of Padmé")
    for row in rows:
        location = row.location
        frame = repository.open_frame(location, data[location.offset : location.offset + location.stored])
        same = frame.id == row.id and frame.table == row.table
        check(same and [chunk is not None for chunk in frame.chunks] == row.present, f"{key}: frame and trailer differ")
    return len(data), size, [(row.id, row.location) for row in rows]


def command_verify(repository, _):
    """Checks every object, and every byte of every snapshot."""
    packs, seen = {}, set()

    def attempt(action, *arguments):
        try:
            return action(*arguments)
        except Damage as error:
            repository.report(error)

    for key in repository.store.keys("P"):
        packs[key] = attempt(verify_pack, repository, key)

    def verify_segment(key):
        for pack, *rest in repository.segment(key):
            check(packs.get(pack) is None or packs[pack] == tuple(rest), f"{key}: differs from the trailer of {pack}")

    def verify_list(kind, key, field):
        record = repository.record(kind, key)
        for pack in record.array(field, bytes):
            pack_key(pack)

    def verify_run(key):
        record = repository.record("R", key)
        record.time(1), record.get(2, str), record.get(3, str)

    if repository.use_index:
        for key in repository.store.keys("I"):
            attempt(verify_segment, key)
    for key in repository.store.keys("R"):
        attempt(verify_run, key)
    for kind, field in (("N", 1), ("G", 2)):
        for key in repository.store.keys(kind):
            attempt(verify_list, kind, key, field)
    for key in repository.store.keys("T"):
        attempt(repository.record, "T", key)

    def content_of(entry):
        return entry.type, entry.secret, entry.hash, entry.stream_size, repr(entry.references), repr(entry.list)

    def verify_tree(snapshot):
        pending = []  # remembered only once the whole tree was read
        for path, entry in repository.walk(snapshot, lambda entry: content_of(entry) in seen):
            if entry.type == FILE and entry.inline is None and content_of(entry) not in seen:
                what = f"{snapshot.id}:{shown(path)}"
                repository.read_file(entry, lambda chunk: None, what)
                seen.add(content_of(entry))
            elif entry.type == DIRECTORY:
                pending.append(content_of(entry))
        seen.update(pending)

    snapshots = repository.snapshots()
    for snapshot in snapshots:
        attempt(verify_tree, snapshot)
    attempt(verify_sequences, snapshots)
    print(f"{len(snapshots)} snapshots, {len(packs)} packs")


def verify_sequences(snapshots):
    """Each manifest names one before it by the same credential; gaps are said, not rejected (section 8)."""
    hashes = {}
    for snapshot in snapshots:
        hashes.setdefault((snapshot.certificate.credential, snapshot.sequence), set()).add(snapshot.hash)
    for snapshot in snapshots:
        number = snapshot.sequence
        before = hashes.get((snapshot.certificate.credential, number - 1), set())
        check((number == 0) == (snapshot.previous is None), f"{snapshot.id}: only a first manifest names none before it")
        if number and snapshot.previous not in before:
            print(f"{snapshot.id}: the manifest before number {number} is missing")


def main():
    """Exit codes: 0 done, 1 damage, 2 usage, 12 wrong password."""
    parser = argparse.ArgumentParser(description="Reads a nightsafe repository; written from docs/format.md alone.")
    parser.add_argument("--repo", required=True, metavar="DIR")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--password-file", metavar="F")
    secret.add_argument("--key-file", metavar="F")
    parser.add_argument("--no-index", action="store_true", help="find frames from the trailers of the packs only")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list").set_defaults(run=command_list)
    commands.add_parser("verify").set_defaults(run=command_verify)
    for name, action, last in (("cat", command_cat, "path"), ("restore", command_restore, "target")):
        command = commands.add_parser(name)
        command.add_argument("snapshot")
        command.add_argument(last)
        command.set_defaults(run=action)
    arguments = parser.parse_args()
    try:
        how, key = read_secret(arguments.password_file, arguments.key_file)
        repository = Repository(arguments.repo, how, key, not arguments.no_index)
        arguments.run(repository, arguments)
        return 1 if repository.reported else 0
    except WrongPassword as error:
        print(f"nightsafe_reader: {error}", file=sys.stderr)
        return 12
    except (Damage, OSError, OverflowError, UnicodeDecodeError) as error:
        print(f"nightsafe_reader: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
