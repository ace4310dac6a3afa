"""What docs/format.md takes for granted or defines in its section 1: codecs, ciphers and signatures, all strict.

Also HPKE in PSK mode (section 2) and Ed25519 as section 3 wants it. What must be rejected raises `Damage`.
"""
import hmac

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Damage(Exception):
    """What must be rejected."""


class WrongPassword(Exception):
    """No credential opens with the given secret."""


def check(condition, message):
    """Rejects unless the condition holds."""
    if not condition:
        raise Damage(message)


# --- Primitives (section 1) -------------------------------------------------------------------------------------------


def hash_(data):
    """`hash(x)` (section 1)."""
    return blake3(data).digest()


def keyed(key, data):
    """`keyed(k; x)` (section 1)."""
    return blake3(data, key=key).digest()


def kdf(context, data, length=32):
    """`kdf(context; x)` (section 1), in extendable-output mode for other lengths."""
    return blake3(data, derive_key_context=context).digest(length=length)


def unseal(key, aad, sealed, what):
    """Opens `aead(k; aad; x)` (section 1)."""
    check(len(sealed) >= 16, f"{what}: too short")
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), bytes(sealed), bytes(aad))
    except InvalidTag:
        raise Damage(f"{what}: doesn't open") from None


class Cursor:
    """Takes fields from the front of bytes and rejects what ends too early."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, size):
        check(size <= len(self.data) - self.at, f"{self.what}: ends too early")
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def varint(self):
        """An unsigned LEB128 number in its shortest form (section 1)."""
        value = 0
        for place in range(10):
            byte = self.number(1)
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                check(byte or not place, f"{self.what}: a varint isn't in its shortest form")
                check(value < 1 << 64, f"{self.what}: a varint is too large")
                return value
        raise Damage(f"{self.what}: a varint is too long")

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def left(self):
        return len(self.data) - self.at

    def end(self):
        check(not self.left(), f"{self.what}: trailing bytes")


def write_varint(value):
    """Writes a varint (section 1), for tables."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def cbor(data, what, most_items=1 << 24):
    """Decodes one CBOR item (section 1): six types, one spelling, nesting of at most 16, and so many items in it."""
    cursor = Cursor(data, what)
    cursor.items_left = most_items
    value = cbor_item(cursor, 0)
    cursor.end()
    return value


def cbor_item(cursor, depth):
    """One data item (RFC 8949, section 3)."""
    what = cursor.what
    check(cursor.items_left > 0, f"{what}: too many items of CBOR")
    cursor.items_left -= 1
    major, info = divmod(cursor.number(1), 32)
    check(info < 28, f"{what}: CBOR of indefinite length or reserved")
    check(major < 6, f"{what}: CBOR of a type that the format doesn't use")
    argument = info if info < 24 else int.from_bytes(cursor.take(1 << (info - 24)), "big")
    shortest = info < 24 or argument >= (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]
    check(shortest, f"{what}: CBOR that isn't in its shortest form")
    if major == 0:
        return argument
    if major == 1:
        return -1 - argument
    if major == 2:
        return cursor.take(argument)
    if major == 3:
        try:
            return cursor.take(argument).decode("utf-8")
        except UnicodeDecodeError:
            raise Damage(f"{what}: text isn't UTF-8") from None
    check(depth < 16, f"{what}: CBOR nested too deeply")
    check(argument <= cursor.left(), f"{what}: ends too early")
    if major == 4:
        return [cbor_item(cursor, depth + 1) for _ in range(argument)]
    record, last = {}, None
    for _ in range(argument):
        key = cbor_item(cursor, depth + 1)
        check(type(key) is int, f"{what}: a key isn't an integer")
        check(last is None or key > last, f"{what}: keys out of order or twice")
        record[key] = cbor_item(cursor, depth + 1)
        last = key
    return record


class Record:
    """Typed access to the fields of a CBOR map; rejects needs that aren't understood (section 1)."""

    def __init__(self, value, what, needs=True):
        check(isinstance(value, dict), f"{what}: not a record")
        self.value, self.what = value, what
        if needs and 0 in value:
            check(self.array(0, str) == [], f"{what}: needs features that this reader doesn't know")

    def get(self, key, kind, size=None, optional=False):
        """The field, of exactly the kind; None if it is absent and may be."""
        if optional and key not in self.value:
            return None
        return typed(self.value.get(key), kind, f"{self.what}: field {key}", size)

    def array(self, key, *kinds, optional=False):
        """An array of values of one kind, or of arrays with the given kinds."""
        rows = self.get(key, list, optional=optional)
        return rows if rows is None else [row_of(row, f"{self.what}: field {key}", *kinds) for row in rows]

    def time(self, key, optional=False):
        """A time (section 1) in nanoseconds."""
        value = self.get(key, list, 2, optional)
        if value is None:
            return None
        good = all(type(part) is int for part in value) and -(1 << 63) <= value[0] < 1 << 63 and 0 <= value[1] < 10**9
        check(good, f"{self.what}: field {key} isn't a time")
        return value[0] * 10**9 + value[1]


def typed(value, kind, what, size=None):
    """The value if it has the kind (integers unsigned and of 64 bits) and size."""
    check(type(value) is kind and (size is None or len(value) == size), f"{what} is missing or of another kind")
    check(kind is not int or 0 <= value < 1 << 64, f"{what} is out of range")
    return value


def row_of(row, what, *kinds):
    """An array's row: a value of the one kind, or an array of the several."""
    if len(kinds) == 1:
        return typed(row, kinds[0], what)
    return [typed(value, kind, what) for value, kind in zip(typed(row, list, what, len(kinds)), kinds)]


BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def base32(text):
    """Decodes 26 characters to 16 bytes (section 1)."""
    check(len(text) == 26 and all(letter in BASE32 for letter in text), "base32: other letters or length")
    number = 0
    for letter in text:
        number = number << 5 | BASE32.index(letter)
    check(number & 3 == 0, "base32: final bits aren't zero")
    return (number >> 2).to_bytes(16, "big")


def padme(length):
    """The length to which a pack is padded (section 4)."""
    e = length.bit_length() - 1
    step = 1 << (e - e.bit_length())  # e.bit_length() = ⌊log₂ e⌋ + 1
    return -(-length // step) * step


def unzstd(data, size, what, window=None):
    """Decompresses one zstd frame that must give exactly so many bytes, asking for no more than a window (sections 4 and 6)."""
    try:
        check(data[:4] == b"\x28\xb5\x2f\xfd", f"{what}: not a zstd frame")
        parameters = zstandard.get_frame_parameters(data)
        known = parameters.content_size not in (zstandard.CONTENTSIZE_UNKNOWN, size)
        check(not known and not parameters.dict_id, f"{what}: another length, or a dictionary")
        check(window is None or parameters.window_size <= window, f"{what}: zstd asks for too large a window")
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(size, 1), allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damage(f"{what}: zstd: {error}") from None
    check(len(plain) == size, f"{what}: decompresses to another length")
    return plain


# --- HPKE in PSK mode (section 2; RFC 9180) and strict Ed25519 (section 3) --------------------------------------------


def hpke_extract(suite, salt, label, ikm):
    """LabeledExtract (RFC 9180, section 4)."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def hpke_expand(suite, prk, label, info, size):
    """LabeledExpand (RFC 9180, section 4); no more than one block of HMAC-SHA-256 is ever asked for."""
    info = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, info + b"\x01", "sha256")[:size]


def hpke_secret(shared, enc, public):
    """DHKEM's ExtractAndExpand (RFC 9180, section 4.1)."""
    suite = b"KEM\x00\x20"
    return hpke_expand(suite, hpke_extract(suite, b"", b"eae_prk", shared), b"shared_secret", enc + public, 32)


def hpke_schedule(secret, info, psk, psk_id):
    """KeySchedule of mode_psk (RFC 9180, section 5.1): key and base nonce."""
    suite = b"HPKE\x00\x20\x00\x01\x00\x03"
    context = b"\x01" + hpke_extract(suite, b"", b"psk_id_hash", psk_id) + hpke_extract(suite, b"", b"info_hash", info)
    prk = hpke_extract(suite, secret, b"secret", psk)
    return hpke_expand(suite, prk, b"key", context, 32), hpke_expand(suite, prk, b"base_nonce", context, 12)


def hpke_open(secret, enc, info, aad, sealed, psk, psk_id):
    """OpenPSK (RFC 9180, section 6.1) for the suite of section 2, first message."""
    private = X25519PrivateKey.from_private_bytes(secret)
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(enc))  # refuses an all-zero result
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key, nonce = hpke_schedule(hpke_secret(shared, enc, public), info, psk, psk_id)
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError):
        raise Damage("a wrap doesn't open") from None


def ed25519_public(seed):
    """The public half of a signing key."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def x25519_public(secret):
    """The public half of a restore key."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


PRIME = 2**255 - 19
ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER_Y = {0, 1, PRIME - 1, ORDER_8_Y, PRIME - ORDER_8_Y}


def verify_ed25519(public, signature, message, what):
    """Strict verification (section 3). The library checks s < L and the equation without cofactor; here: the points."""
    for point in (public, signature[:32]):
        y = int.from_bytes(point, "little") & ((1 << 255) - 1)
        check(y < PRIME and y not in SMALL_ORDER_Y, f"{what}: a point isn't canonical or is of small order")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Damage(f"{what}: wrong signature") from None
