"""Makes the streams of other encoders by guides (section 6 of docs/format.md, steps 30 and 31); slow, and written from there alone."""

from collections import defaultdict, deque

from gnu_gzip import DISTANCES, LEAST, LENGTHS, ORDER, REPEATS, Bits, lengths_of, place, run_of
from primitives import check

BACK = 32_768
CLASSES = {3: ((512, 1), (4_096, 2), (8_192, 3), (BACK, 4)), 4: ((4_096, 5), (BACK, 6))}
CLASSES_ABOVE = ((5, 7), (6, 8), (8, 9), (12, 10), (16, 11), (32, 12), (63, 13), (257, 14), (258, 15))
WAITING, WAITING_BYTES, TOKENS = 1 << 21, 32 << 20, 1 << 20


def class_of(length, distance):
    """The class k of the longest."""
    if not length:
        return 0
    limits, value = (CLASSES[length], distance) if length in CLASSES else (CLASSES_ABOVE, length)
    return next(k for most, k in limits if value <= most)


def chance():
    return [1 << 15, 1 << 15]


class Guide:
    """The bits of a guide; chances go by their letter and places, and outlast it."""

    def __init__(self, data, chances):
        self.data, self.at, self.chances = data, 4, chances
        self.range, self.code = (1 << 32) - 1, int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def read(self, chance):
        quick, steady = chance
        part = (self.range >> 15) * max(1, min((quick + steady) // 4, 32_767))
        bit = int(self.code >= part)
        if bit:
            self.range, self.code = self.range - part, self.code - part
            chance[:] = quick - quick // 16, steady - steady // 128
        else:
            self.range = part
            chance[:] = quick + (65_535 - quick) // 16, steady + (65_535 - steady) // 128
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | (self.data[self.at] if self.at < len(self.data) else 0)
            self.at += 1
        return bit

    def bit(self, *name):
        return self.read(self.chances[name])

    def number(self, bits, *name):
        k = 1
        for _ in range(bits):
            k = 2 * k + self.bit(*name, k)
        return k - (1 << bits)

    def raw(self, bits):
        value = 0
        for _ in range(bits):
            value = 2 * value + self.read(chance())
        return value

    def or_else(self, expected, name, bits, other):
        """What is expected, if a bit says so, else a number."""
        return expected if self.bit(*name) else self.number(bits, *other)


class Guided:
    """A stage between those of a recipe: takes bytes, gives the stream that its guides describe."""

    def __init__(self, number, sink, what):
        self.least, self.depth, self.level = number >> 24, number >> 8 & 0xFFFF, number & 255
        self.sink, self.what, self.given = sink, what, 0
        self.guides, self.waiting_bytes, self.held, self.out, self.form, self.last = deque(), 0, bytearray(), Bits(), 2, 0
        self.chances = defaultdict(chance)
        # Places count from the beginning of the stream; `data` begins at `origin` and holds what is known.
        self.data, self.origin, self.start, self.entered = b"", 0, 0, 0
        self.heads, self.links = {}, [None] * (2 * BACK)

    def waiting(self):
        return len(self.guides), self.waiting_bytes

    def guide(self, size, guide):
        self.guides.append((size, guide))
        self.waiting_bytes += len(guide)
        self.go_on()

    def push(self, data):
        self.held += data
        self.go_on()
        check(self.guides or not self.held, f"{self.what}: content before its guide")

    def go_on(self):
        while self.guides and len(self.held) >= self.guides[0][0]:
            size, guide = self.guides.popleft()
            self.waiting_bytes -= len(guide)
            check(not self.last, f"{self.what}: a guide behind the last block's")
            content = bytes(self.held[:size])
            del self.held[:size]
            self.block(content, Guide(guide, self.chances))
            self.give()

    def give(self):
        data = self.out.taken()
        self.given += len(data)
        self.sink(data)

    def end(self):
        self.cut()
        self.out.align()
        self.give()

    def cut(self):
        check(not self.guides, f"{self.what}: a guide whose content doesn't come")

    def block(self, content, guide):
        known = self.data[-BACK:]
        self.origin, self.data = self.start - len(known), known + content
        self.entered = max(self.entered, self.origin)
        self.end_of_block = self.start + len(content)
        self.last = last = guide.bit("last")
        self.form = guide.number(2, "F", self.form)
        check(self.form <= 2, f"{self.what}: a block of no form")
        if self.form == 0:
            check(len(content) <= 65_535, f"{self.what}: a stored block that is too long")
            self.out.stored(last, content)
        else:
            tokens = self.tokens(guide)
            if self.form == 1:
                self.out.fixed(last, tokens)
            else:
                self.dynamic(guide, last, tokens)
        check(guide.at >= len(guide.data), f"{self.what}: a guide that is too long")
        self.start = self.end_of_block

    def enter(self, end):
        """Enters the places before this one."""
        for p in range(self.entered, end):
            at = p - self.origin
            key = self.hash(at)
            self.links[p % (2 * BACK)] = self.heads.get(key)
            self.heads[key] = p
        self.entered = max(self.entered, end)

    def hash(self, at):
        return (int.from_bytes(self.data[at : at + self.least], "little") * 2_654_435_761 & 0xFFFF_FFFF) >> 17

    def places(self, p):
        if self.end_of_block - p < 4:
            return
        self.enter(p)
        place, left = self.heads.get(self.hash(p - self.origin)), self.depth
        # What was entered since, to look at the next place, doesn't count.
        while place is not None and place >= p:
            place = self.links[place % (2 * BACK)]
        while place is not None and p - place <= BACK and left:
            yield place
            place, left = self.links[place % (2 * BACK)], left - 1

    def longest(self, p):
        """The length L and the distance D."""
        data, here, most = self.data, p - self.origin, min(258, self.end_of_block - p)
        best, distance = self.least - 1, 0
        for place in self.places(p):
            at = place - self.origin
            if best < most and data.startswith(data[here : here + best + 1], at):
                best, distance = best + 1, p - place
                while best < most and data[at + best] == data[here + best]:
                    best += 1
                if best == most:
                    break
        return (best, distance) if distance else (0, 0)

    def distances(self, p, length):
        here = p - self.origin
        same = self.data[here : here + length]
        return [p - place for place in self.places(p) if self.data.startswith(same, place - self.origin)]

    def tokens(self, guide):
        """The literals and matches of a block, as the engine of step 17 notes them."""
        tokens, p, b, next_one = [], self.start, 0, None
        while p < self.end_of_block:
            check(len(tokens) < TOKENS, f"{self.what}: too many literals and matches")
            length, distance = next_one or self.longest(p)
            k, w, next_one = class_of(length, distance), 0, None
            if 0 < length < 64 and p + 1 < self.end_of_block:
                next_one = self.longest(p + 1)
                w = min(max(next_one[0] - length, 0), 2)
            if not guide.bit("M", k, w, b):
                tokens.append((0, self.data[p - self.origin]))
                p, b = p + 1, 2 if length else 1
                continue
            next_one, distances = None, None
            if not length or not guide.bit("G", k, w):
                length = 3 + guide.number(8, "N")
                check(length <= self.end_of_block - p, f"{self.what}: a match beyond the block")
                distances = self.distances(p, length)
                distance = distances[0] if distances else None
            if distance is None or not guide.bit("H", k):
                distance = self.distance(guide, self.distances(p, length) if distances is None else distances)
            check(distance <= p, f"{self.what}: a match with nothing")
            tokens.append((distance, length))
            p, b = p + length, 0
        return tokens

    def distance(self, guide, distances):
        """One that isn't the nearest."""
        n = guide.number(7, "R") if distances else 127
        if n < 127:
            check(n + 1 < len(distances), f"{self.what}: a distance that isn't there")
            return distances[n + 1]
        code = guide.number(5, "S")
        check(code < 30, f"{self.what}: no code of a distance")
        least, extra = DISTANCES[code]
        return least + guide.raw(extra)

    def dynamic(self, guide, last, tokens):
        counts = [[0] * 286, [0] * 30]
        counts[0][256] = 1
        for distance, value in tokens:
            counts[0][257 + place(LENGTHS, value) if distance else value] += 1
            if distance:
                counts[1][place(DISTANCES, distance)] += 1
        expected = [lengths_of(of, 15) for of in counts]
        numbers = [least + guide.or_else(expected[u][1] - least, ("I", u), 5, ("J", u)) for u, least in ((0, 257), (1, 1))]
        lengths = []
        for u, number in enumerate(numbers):
            as_expected = 1
            for symbol in range(number):
                e = expected[u][0][symbol] if symbol < len(expected[u][0]) else 0
                lengths.append(guide.or_else(e, ("K", u, as_expected, e), 4, ("T", u, e)))
                as_expected = int(lengths[-1] == e)
        runs = self.runs(guide, lengths, numbers[0])
        of_runs = [0] * 19
        for code, _ in runs:
            of_runs[code] += 1
        expected, _ = lengths_of(of_runs, 7)
        named = max(4, max(n for n, code in enumerate(ORDER) if expected[code]) + 1)
        named = 4 + guide.or_else(named - 4, ("I", 2), 5, ("J", 2))
        check(named <= 19, f"{self.what}: more codes for lengths than there are")
        of_lengths = [0] * 19
        for code in ORDER[:named]:
            e = expected[code]
            of_lengths[code] = guide.or_else(e, ("X", e), 3, ("Y", e))
        parts = of_lengths, lengths[: numbers[0]], lengths[numbers[0] :]
        needed = of_runs, *counts
        for part, need in zip(parts, needed):
            full = sum(1 << 15 - length for length in part if length) <= 1 << 15
            check(full, f"{self.what}: more codes than such lengths have")
            known = all(part[symbol] if symbol < len(part) else False for symbol, n in enumerate(need) if n)
            check(known, f"{self.what}: what has no code is used")
        self.out.dynamic(last, tokens, *parts[1:], of_lengths, named, runs)

    def runs(self, guide, lengths, border):
        """How the lengths of codes are written."""
        runs, at = [], 0
        while at < len(lengths):
            end, before = (border if at < border else len(lengths)), lengths[at - 1] if at not in (0, border) else None
            code, value = run_of(lengths[at:end], before)
            if not guide.bit("U", max(code - 15, 0)):
                kind = guide.number(2, "V")
                code, value = (15 + kind, guide.number(REPEATS[15 + kind], "W", kind - 1)) if kind else (lengths[at], 0)
            runs.append((code, value))
            at += value + LEAST.get(code, 1)
            check(at <= len(lengths), f"{self.what}: lengths beyond the last one")
        return runs
