"""The vectors of tests/data/vectors/content, and the credentials of those of the keys, have the outcome here that they say."""
import unittest
from pathlib import Path

import nightsafe_reader as reader
from primitives import Damage, Record, WrongPassword, cbor, hash_

VECTORS = Path(__file__).parent.parent / "data/vectors"


class Vector:
    def __init__(self, path):
        head, _, digits = path.read_text().partition("\n\n")
        first, *lines = head.strip().split("\n")
        assert first == "nightsafe vector 1", path
        self.fields = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
        self.path, self.data = path, bytes.fromhex("".join(digits.split()))

    def hex(self, field):
        return bytes.fromhex(self.fields[field])


class Memory:
    """A store that holds one object."""

    def __init__(self, key, data):
        self.key, self.data = key, data

    def keys(self, kind):
        return [self.key] if self.key.split("/")[0] == reader.FOLDERS[kind] else []

    def read(self, key, offset=0, size=None):
        end = len(self.data) if size is None else offset + size
        if not 0 <= offset <= end <= len(self.data):
            raise Damage("too short")
        return self.data[offset:end]

    def size(self, key):
        return len(self.data)


def opened(vector):
    """The keys of a credential."""
    fields = vector.fields
    if "passphrase" in fields:
        how, secret = 1, reader.passphrase(vector.hex("passphrase"))
    else:
        how, secret = 2, reader.key_file_secret(fields["key-file"].encode())
    return reader.open_credential(Memory(fields["key"], vector.data), how, secret)


def repository(vector, key="", data=b""):
    """A repository that holds no more than one pack."""
    found = reader.Repository.__new__(reader.Repository)
    found.keys = opened(Vector(vector.path.with_name(vector.fields["with"] + ".vec")))
    found.store, found.run_keys, found.headers, found.roots = Memory(key, data), {}, {}, {}
    return found


def frame(vector):
    found, fields = repository(vector), vector.fields
    run = reader.run_id(fields["run"])
    run_key = found.run_key(run, vector.hex("wrap"))
    assert run_key == vector.hex("run-key")
    found.headers["pack"] = reader.PackHeader(run, bytes(16), run_key, 0)
    location = reader.Location("pack", 0, len(vector.data), 0, int(fields["class"]), False)
    opened_frame = found.open_frame(location, vector.data)
    if opened_frame.id != vector.hex("id"):
        raise Damage("another frame")
    pairs = zip(opened_frame.lengths, opened_frame.chunks)
    return {
        "lengths": " ".join("absent" if chunk is None else str(length) for length, chunk in pairs),
        "present": hash_(b"".join(chunk for chunk in opened_frame.chunks if chunk is not None)).hex(),
    }


def pack(vector):
    key = vector.fields["key"]
    found = repository(vector, key, vector.data)
    if hash_(vector.data).hex() != key[-64:]:
        raise Damage("another hash")
    rows = found.trailer(key)[0]
    for row in rows:
        at = row.location.offset
        assert found.open_frame(row.location, vector.data[at : at + row.location.stored]).id == row.id
    return {"frames": " ".join(row.id.hex() for row in rows)}


def trailer(vector):
    found = repository(vector)
    rows = found.rows("pack", found.root(bytes(16)), vector.data, int(vector.fields["end"]))
    return {"frames": " ".join(row.id.hex() for row in rows)}


def listed(vector):
    size, content_hash, references = reader.parse_list(vector.data, "list")
    references = " ".join(f"{name.hex()}:{first}:{count}" for name, first, count in references)
    return {"bytes": str(size), "hash": content_hash.hex(), "references": references}


def directory(vector):
    return {"names": " ".join(entry.name.hex() for entry in reader.parse_directory(vector.data, "directory"))}


def part(read):
    def outcome(vector):
        read(reader.Snapshot.__new__(reader.Snapshot), Record(cbor(vector.data, "part"), "part"), "part")
        return {}
    return outcome


def credential(vector):
    return {"role": {1: "full", 2: "write-only"}[opened(vector).role]}


OUTCOMES = {
    "frame": frame, "pack": pack, "trailer": trailer, "list": listed, "directory": directory, "credential": credential,
    "open-part": part(reader.Snapshot.read_open), "sealed-part": part(reader.Snapshot.read_sealed),
}


class Vectors(unittest.TestCase):
    def test_outcomes(self):
        seen = set()
        paths = sorted((VECTORS / "content").iterdir()) + sorted((VECTORS / "keys").glob("credential-*"))
        for path in paths:
            vector = Vector(path)
            with self.subTest(path.stem):
                kind, accepted = vector.fields["object"], vector.fields["expect"] == "accept"
                seen.add((kind, accepted))
                try:
                    found = OUTCOMES[kind](vector)
                except (Damage, WrongPassword) as error:
                    self.assertFalse(accepted, error)
                else:
                    self.assertTrue(accepted, "accepted")
                    self.assertEqual(found, {field: vector.fields[field] for field in found})
        self.assertEqual(seen, {(kind, accepted) for kind in OUTCOMES for accepted in (True, False)})


if __name__ == "__main__":
    unittest.main()
