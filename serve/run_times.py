"""RunTimes: what a batch of so many rows takes, learned from the batches that ran. Pure; times in nanoseconds."""

from __future__ import annotations

import math

_MEMORY = 48  # batches of one size that its time looks back on
_FADING = 512  # batches of other sizes after which a size's own time counts half
_LATELY = 256  # batches
_OUTLIER = math.log(2.5)  # times what was expected, or a part of it: what is further off counts as that far
_CHANGED = math.log(1.15)  # all sizes this much slower or faster: the machine's pace has changed
_FARTHEST = math.log(3.0)  # that a size not seen lately is taken to be slower or faster than it was
_BEND = 0.1  # of what is off that is put down to being one of the smaller or larger sizes of a class
_QUANTILE, _TAIL = 0.95, 1.6  # of runs that `tail` covers, and its largest factor: stalls cannot be planned for


class RunTimes:
    """A typical time for each class of sizes, a line through them for sizes not seen, and a factor for the tail.

    Classes end at 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on: fine enough to see where a cost jumps. Times are averaged as
    logarithms, so that runs which others of the machine disturb count as much as those that they do not.
    """

    __slots__ = ("_count", "_drift", "_level", "_seen", "fixed", "largest", "per_row", "tail_factor")

    def __init__(self) -> None:
        # class -> mean rows, their time, batches (bounded), when the last was, at what pace of the machine, and by how
        # much a row more or less changes it beyond what the line says (a logarithm)
        self._seen: dict[int, list[float]] = {}
        self._count = 0
        self._level = 0.0  # the machine's pace, as a logarithm; only changes of it mean something
        self._drift = 0.0  # by how much recent times were off
        self.fixed = self.per_row = 0.0  # the line
        self.largest = 0  # rows of the largest batch seen
        self.tail_factor = 1.25

    def __repr__(self) -> str:
        line = f"{self.fixed / 1e6:.3g} ms + {self.per_row / 1e6:.3g} ms a row"
        return f"<RunTimes {line}, tail {self.tail_factor:.2f}, {self._count} batches>"

    def __len__(self) -> int:
        return self._count

    def add(self, rows: int, ns: int) -> bool:
        """A batch of so many rows took so long. True for the first of its class, or since long: time to `fit`.

        One without rows, which a request of an empty table is, says nothing about others.
        """
        if rows < 1:
            return False
        self._count += 1
        self.largest = max(self.largest, rows)
        key, ns = size_class(rows), max(ns, 1)
        own = self._seen.get(key)
        if own is None:
            if not self._seen:
                self.fixed, self.per_row = 0.0, ns / rows
            self._seen[key] = [rows, ns, 1.0, self._count, self._level, 0.0]
            return True
        off, news = math.log(ns / self.expect(rows)), self._count - own[3] >= _LATELY
        own[1] *= self._change(own)
        own[3], own[4] = self._count, self._level
        if own[2] >= 4:  # before that it is too young to call others outliers
            off = min(max(off, -_OUTLIER), _OUTLIER)
            self._spread(off)
        own[2] = weight = min(own[2] + 1, _MEMORY)
        aside = rows - own[0]
        if abs(aside) >= 1:
            own[5] += _BEND * off / aside
        own[0] += aside / weight
        own[1] *= math.exp(off / weight)
        return news

    def expect(self, rows: int) -> float:
        """What a batch of so many rows takes, typically; 0 before anything was seen."""
        own = self._seen.get(size_class(rows))
        line = self.fixed + self.per_row * rows
        if own is None:
            return line
        at = self.fixed + self.per_row * own[0]
        return own[1] * self._change(own) * (line / at if at > 0 else 1.0) * math.exp(own[5] * (rows - own[0]))

    def tail(self, rows: int) -> float:
        """What all but a few batches of so many rows stay below."""
        return self.expect(rows) * self.tail_factor

    def knows(self, rows: int) -> bool:
        """Whether batches of about that size were seen lately: what is older is worth another try."""
        own = self._seen.get(size_class(rows))
        return own is not None and self._count - own[3] < _LATELY

    def _change(self, own: list[float]) -> float:
        """By how much the machine is slower now than when such a size was seen; forgotten with time, as a guess is."""
        off = self._level - own[4]
        if not off:
            return 1.0
        return math.exp(min(max(off, -_FARTHEST), _FARTHEST) * 0.5 ** ((self._count - own[3]) / _FADING))

    def _spread(self, off: float) -> None:
        # the quantile by steps: up when it is passed, down when not, in proportion to how often either should happen
        over = math.exp(off) > self.tail_factor
        self.tail_factor += 0.05 * _QUANTILE if over else -0.05 * (1 - _QUANTILE)
        self.tail_factor = min(max(self.tail_factor, 1.0), _TAIL)
        self._drift += (off - self._drift) / 8
        if abs(self._drift) > _CHANGED:
            # what runs now tells of the sizes that do not
            self._level += self._drift
            self._drift = 0.0
            self.fit()

    def fit(self) -> None:
        """Find the line, for sizes that were not seen: least squares over the classes, old ones counting less."""
        sw = sx = sy = sxx = sxy = 0.0
        for own in self._seen.values():
            x, y, weight, last = own[0], own[1] * self._change(own), own[2], own[3]
            # relative errors count, not absolute ones: a large batch's noise must not drown a small one's cost
            w = weight * 0.5 ** ((self._count - last) / _FADING) / (y * y)
            sw += w
            sx += w * x
            sy += w * y
            sxx += w * x * x
            sxy += w * x * y
        spread = sw * sxx - sx * sx
        if spread <= 1e-9 * sw * sxx:  # one size only: in proportion, the most careful guess for larger ones
            self.fixed, self.per_row = 0.0, sy / sx
            return
        b = (sw * sxy - sx * sy) / spread
        a = (sy - b * sx) / sw
        if b < 0:  # neither part may be negative
            a, b = sy / sw, 0.0
        elif a < 0:
            a, b = 0.0, sxy / sxx
        self.fixed, self.per_row = a, b


def size_class(rows: int) -> int:
    """The class of a batch's size: two for each doubling."""
    m = rows - 1
    bits = m.bit_length()
    return m if bits < 2 else 2 * bits - 2 + ((m >> (bits - 2)) & 1)


def class_end(number: int) -> int:
    """The largest size of a class."""
    if number < 2:
        return number + 1
    bits, half = divmod(number + 2, 2)
    return (3 << (bits - 2)) if not half else (1 << bits)
