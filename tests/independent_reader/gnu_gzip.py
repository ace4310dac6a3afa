"""Compresses as GNU gzip and its relatives do (section 6 of docs/format.md, steps 17 to 19); slow, and written from there alone."""

LENGTHS = [(3 + n, 0) for n in range(8)]
for extra in range(1, 6):
    for _ in range(4):
        LENGTHS.append((LENGTHS[-1][0] + (1 << LENGTHS[-1][1]), extra))
LENGTHS = [*LENGTHS[:28], (258, 0)]
DISTANCES = [(1, 0), (2, 0), (3, 0), (4, 0)]
for extra in range(1, 14):
    for _ in range(2):
        DISTANCES.append((DISTANCES[-1][0] + (1 << DISTANCES[-1][1]), extra))
ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
REPEATS = {16: 2, 17: 3, 18: 7}
LEAST = {16: 3, 17: 3, 18: 11}
LEVELS = {
    1: (4, 4, 8, 4), 2: (4, 5, 16, 8), 3: (4, 6, 32, 32), 4: (4, 4, 16, 16), 5: (8, 16, 32, 32), 6: (8, 16, 128, 128),
    7: (8, 32, 128, 256), 8: (32, 128, 258, 1024), 9: (32, 258, 258, 4096),
}
HALF = 32_768


def place(ranges, value):
    """The range that a length or distance falls into."""
    return max(n for n, (least, _) in enumerate(ranges) if least <= value)


def lengths_of(counts, most):
    """The length of each symbol's code, and one more than the highest symbol that has one."""
    counts = list(counts)
    nodes = [symbol for symbol, count in enumerate(counts) if count]
    highest = nodes[-1] if nodes else -1
    while len(nodes) < 2:
        new = highest + 1 if highest < 2 else 0
        highest = max(highest, new)
        counts[new] = 1
        nodes.append(new)
    symbols, depths, parents, taken = len(counts), [0] * len(counts), {}, []

    def smaller(a, b):
        return (counts[a], depths[a]) <= (counts[b], depths[b]) if counts[a] == counts[b] else counts[a] < counts[b]

    def sink(at):
        node, child = nodes[at - 1], 2 * at
        while child <= len(nodes):
            if child < len(nodes) and smaller(nodes[child], nodes[child - 1]):
                child += 1
            if smaller(node, nodes[child - 1]):
                break
            nodes[at - 1] = nodes[child - 1]
            at, child = child, 2 * child
        nodes[at - 1] = node

    for at in range(len(nodes) // 2, 0, -1):
        sink(at)
    while len(nodes) >= 2:
        one, end = nodes[0], nodes.pop()
        if nodes:
            nodes[0] = end
            sink(1)
        other = nodes[0]
        taken += [one, other]
        counts.append(counts[one] + counts[other])
        depths.append(max(depths[one], depths[other]) + 1)
        parents[one] = parents[other] = nodes[0] = len(counts) - 1
        sink(1)
    far, deep, numbers = {len(counts) - 1: 0}, 0, [0] * (most + 1)
    for node in reversed(taken):
        far[node] = far[parents[node]] + 1
        if far[node] > most:
            far[node] = most
            deep += 1
        if node < symbols:
            numbers[far[node]] += 1
    if deep:
        while deep > 0:
            at = max(length for length in range(1, most) if numbers[length])
            numbers[at] -= 1
            numbers[at + 1] += 2
            numbers[most] -= 1
            deep -= 2
        leaves = iter([node for node in taken if node < symbols])
        for length in range(most, 0, -1):
            for _ in range(numbers[length]):
                far[next(leaves)] = length
    return [far.get(symbol, 0) for symbol in range(symbols)], highest + 1


def codes_of(lengths):
    """The codes for such lengths (RFC 1951), their first bit lowest."""
    codes, code = [0] * len(lengths), 0
    for length in range(1, 16):
        for symbol, has in enumerate(lengths):
            if has == length:
                codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
                code += 1
        code <<= 1
    return list(zip(codes, lengths))


FIXED_LENGTHS = codes_of([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)
FIXED_DISTANCES = codes_of([5] * 32)


def run_of(lengths, before):
    """The first of these lengths, or a run of them, as a code for lengths with what follows it; `before` stood before."""
    length, count = lengths[0], 1
    while count < (6 if length else 138) and lengths[count : count + 1] == [length]:
        count += 1
    if length == 0 and count >= 3:
        return (18, count - 11) if count >= 11 else (17, count - 3)
    return (16, count - 3) if length and length == before and count >= 3 else (length, 0)


def runs_of(lengths):
    """The lengths of a tree's codes as codes for lengths, with what follows each."""
    runs, at = [], 0
    while at < len(lengths):
        runs.append(run_of(lengths[at:], lengths[at - 1] if at else None))
        at += runs[-1][1] + LEAST.get(runs[-1][0], 1)
    return runs


class Bits:
    """A stream of deflate, bit for bit."""

    def __init__(self):
        self.out, self.bits, self.count = bytearray(), 0, 0

    def put(self, value, length):
        self.bits |= value << self.count
        self.count += length
        while self.count >= 8:
            self.out.append(self.bits & 255)
            self.bits, self.count = self.bits >> 8, self.count - 8

    def align(self):
        if self.count:
            self.out.append(self.bits & 255)
        self.bits = self.count = 0

    def taken(self):
        data = bytes(self.out)
        self.out.clear()
        return data

    def stored(self, last, content):
        self.put(int(last), 3)
        self.align()
        self.out += len(content).to_bytes(2, "little") + (len(content) ^ 65_535).to_bytes(2, "little") + content

    def fixed(self, last, tokens):
        self.put(2 | last, 3)
        self.write(tokens, FIXED_LENGTHS, FIXED_DISTANCES)

    def dynamic(self, last, tokens, lengths, of_distances, of_lengths, named, runs):
        self.put(4 | last, 3)
        self.put(len(lengths) - 257, 5), self.put(len(of_distances) - 1, 5), self.put(named - 4, 4)
        for code in ORDER[:named]:
            self.put(of_lengths[code], 3)
        codes = codes_of(of_lengths)
        for code, repeat in runs:
            self.put(*codes[code])
            self.put(repeat, REPEATS.get(code, 0))
        self.write(tokens, codes_of(lengths), codes_of(of_distances))

    def write(self, tokens, codes, distances):
        for distance, value in tokens:
            if not distance:
                self.put(*codes[value])
                continue
            for ranges, of, number, first in ((LENGTHS, codes, value, 257), (DISTANCES, distances, distance, 0)):
                at = place(ranges, number)
                self.put(*of[first + at])
                self.put(number - ranges[at][0], ranges[at][1])
        self.put(*codes[256])


class GnuGzip(Bits):
    """Takes 65,536 bytes at a time and the rest at the end, as `zlib.compressobj` would."""

    def __init__(self, level, memory=None, rsyncable=False):
        super().__init__()
        self.level, self.memory, self.rsyncable = level, memory, rsyncable
        self.hashes, self.shift = (1 << 15, 5) if memory is None else (1 << (memory + 7), -(-(memory + 7) // 3))
        self.sum, self.seen, self.noted = 0, 0, None
        self.good, self.lazy, self.nice, self.chain = LEVELS[level]
        self.window, self.heads, self.links = bytearray(2 * HALF + 300), [0] * self.hashes, [0] * HALF
        self.hash = self.p = self.ahead = self.start = self.s = 0
        self.begun = self.ended = self.waiting = False
        self.l = 2
        self.input, self.tokens, self.matches, self.spread = bytearray(), [], 0, 0

    def compress(self, data):
        self.input += data
        return self.go_on(False)

    def flush(self, _mode=None):
        data = self.go_on(True)
        if self.waiting:
            self.token(0, self.window[self.p - 1])
        self.close(True)
        return data + self.taken()

    def go_on(self, last):
        while True:
            while self.ahead < 262 and (not self.ended or self.memory is not None and self.p >= 65_274):
                room = 2 * HALF - self.p - self.ahead + (HALF if self.p >= 65_274 else 0)
                if len(self.input) < room and not last:
                    return self.taken()
                self.fill(room)
            if not self.ahead:
                return self.taken()
            (self.quick if self.level <= 3 else self.slow)()

    def fill(self, room):
        if self.p >= 65_274:
            self.window[:HALF] = self.window[HALF : 2 * HALF]
            self.p, self.start, self.s = self.p - HALF, self.start - HALF, self.s - HALF
            self.noted = None if self.noted is None else self.noted - HALF
            self.heads = [max(0, at - HALF) for at in self.heads]
            self.links = [max(0, at - HALF) for at in self.links]
        part = self.input[:room]
        del self.input[:room]
        end = self.p + self.ahead
        self.window[end : end + len(part)] = part
        self.ahead += len(part)
        if not part:
            self.ended = True
            self.window[end : end + 2] = b"\0\0"
        if not self.begun:
            self.begun = True
            self.update(0), self.update(1)

    def update(self, at):
        self.hash = ((self.hash << self.shift) ^ self.window[at]) % self.hashes

    def insert(self, at):
        self.update(at + 2)
        found = self.links[at % HALF] = self.heads[self.hash]
        self.heads[self.hash] = at
        return found

    def near(self, at):
        return at and self.p - at <= 32_506 and self.p <= 65_274

    def longest(self, at, best):
        left = self.chain // 4 if best >= self.good else self.chain
        window, p = self.window, self.p
        nice = self.nice if self.memory is None else min(self.nice, self.ahead)
        while True:
            if window[at : at + best + 1] == window[p : p + best + 1]:
                length = best + 1
                while length < 258 and window[at + length] == window[p + length]:
                    length += 1
                self.s, best = at, length
                if best >= nice:
                    return best
            at, left = self.links[at % HALF], left - 1
            if at <= max(0, p - 32_506) or not left:
                return best

    def passed(self, count):
        """Adds bytes to the sum, and notes where it says that a block ends."""
        if not self.rsyncable:
            return
        for at in range(self.p, self.p + count):
            self.sum, self.seen = self.sum + self.window[at], self.seen + 1
            if self.seen > 4_096:
                self.sum -= self.window[at - 4_096]
                if self.noted is None and self.sum % 4_096 == 0:
                    self.noted = at

    def end_block(self, full):
        """Ends the block if it should."""
        if self.noted is not None and self.p > self.noted:
            self.noted = None
            self.close(False)
            if self.count:
                self.put(0, 3)
                self.align()
                self.out += b"\0\0\xff\xff"
        elif full:
            self.close(False)

    def quick(self):
        found = self.insert(self.p)
        length = min(self.longest(found, 2), self.ahead) if self.near(found) else 0
        if length >= 3:
            full = self.token(self.p - self.s, length)
            self.ahead -= length
            self.passed(length)
            if length <= self.lazy:
                for at in range(self.p + 1, self.p + length):
                    self.insert(at)
                self.p += length
            else:
                self.p += length
                self.hash = self.window[self.p]
                self.update(self.p + 1)
        else:
            full = self.token(0, self.window[self.p])
            self.passed(1)
            self.p, self.ahead = self.p + 1, self.ahead - 1
        self.end_block(full)

    def slow(self):
        found = self.insert(self.p)
        length, at, self.l = self.l, self.s, 2
        if length < self.lazy and self.near(found):
            self.l = min(self.longest(found, length), self.ahead)
            if self.l == 3 and self.p - self.s > 4_096:
                self.l = 2
        if length >= 3 and self.l <= length:
            full = self.token(self.p - 1 - at, length)
            self.ahead -= length - 1
            self.passed(length - 1)
            for inner in range(self.p + 1, self.p + length - 1):
                self.insert(inner)
            self.p += length - 1
            self.waiting, self.l = False, 2
            self.end_block(full)
            return
        self.end_block(self.waiting and self.token(0, self.window[self.p - 1]))
        self.waiting = True
        self.passed(1)
        self.p, self.ahead = self.p + 1, self.ahead - 1

    def token(self, distance, value):
        """Notes a match or a literal; whether the block should end."""
        self.tokens.append((distance, value))
        if distance:
            self.matches += 1
            self.spread += 5 + DISTANCES[place(DISTANCES, distance)][1]
        n = len(self.tokens)
        if self.memory is not None:
            return n == (1 << (self.memory + 6)) - 1
        if self.level > 2 and n % 4_096 == 0 and self.matches < n // 2:
            if (8 * n + self.spread) // 8 < (self.p - self.start) // 2:
                return True
        return n == 32_767 or self.matches == 32_768

    def close(self, last):
        counts, distances, extra = [0] * 286, [0] * 30, 0
        counts[256] = 1
        for distance, value in self.tokens:
            if distance:
                length, far = place(LENGTHS, value), place(DISTANCES, distance)
                counts[257 + length] += 1
                distances[far] += 1
                extra += LENGTHS[length][1] + DISTANCES[far][1]
            else:
                counts[value] += 1
        lengths, used = lengths_of(counts, 15)
        of_distances, used_distances = lengths_of(distances, 15)
        runs = runs_of(lengths[:used]) + runs_of(of_distances[:used_distances])
        of_runs = [0] * 19
        for code, _ in runs:
            of_runs[code] += 1
        of_lengths, _ = lengths_of(of_runs, 7)
        named = max(4, max(n for n, code in enumerate(ORDER) if of_lengths[code]) + 1)
        header = 14 + 3 * named + sum(of_lengths[code] + REPEATS.get(code, 0) for code, _ in runs)

        def size(of_counts, of_distances):
            bits = sum(n * of_counts[symbol] for symbol, n in enumerate(counts))
            return bits + sum(n * of_distances[symbol] for symbol, n in enumerate(distances)) + extra

        dynamic = (header + size(lengths, of_distances) + 3 + 7) // 8
        fixed = (size([length for _, length in FIXED_LENGTHS], [5] * 30) + 3 + 7) // 8
        content = self.window[self.start : self.p] if self.start >= 0 else None
        if content is not None and len(content) + 4 <= min(dynamic, fixed):
            self.stored(last, content)
        elif fixed <= dynamic:
            self.fixed(last, self.tokens)
        else:
            self.dynamic(last, self.tokens, lengths[:used], of_distances[:used_distances], of_lengths, named, runs)
        if last:
            self.align()
        self.start, self.tokens, self.matches, self.spread = self.p, [], 0, 0
