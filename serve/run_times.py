"""RunTimes: what a batch of so many rows takes, learned from the batches that ran. Pure; times in nanoseconds."""

from __future__ import annotations

_MEMORY = 16  # batches of one size that its mean looks back on
_FADING = 512  # batches of other sizes after which a size's own mean counts half
_OUTLIER = 2.5  # times what was expected: a longer run counts as that long
_CHANGED = 1.3  # all sizes this much slower or faster: the machine's pace has changed
_QUANTILE = 0.95  # of runs that `tail` covers


class RunTimes:
    """A mean for each class of sizes, a line through them for the sizes not seen, and a factor for the tail.

    Classes end at 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on: fine enough to see where a cost jumps.
    """

    __slots__ = ("_count", "_pace", "_seen", "fixed", "largest", "per_row", "tail_factor")

    def __init__(self) -> None:
        self._seen: dict[int, list[float]] = {}  # class -> mean rows, mean time, batches (bounded), when last
        self._count = 0
        self._pace = 1.0  # recent times as a multiple of what was expected
        self.fixed = self.per_row = 0.0  # the line
        self.largest = 0  # rows of the largest batch seen
        self.tail_factor = 1.25

    def __repr__(self) -> str:
        line = f"{self.fixed / 1e6:.3g} ms + {self.per_row / 1e6:.3g} ms a row"
        return f"<RunTimes {line}, tail {self.tail_factor:.2f}, {self._count} batches>"

    def __len__(self) -> int:
        return self._count

    def add(self, rows: int, ns: int) -> bool:
        """A batch of so many rows took so long. True for the first of its class: time to `fit`."""
        self._count += 1
        key = size_class(rows)
        own = self._seen.get(key)
        if own is None:
            if not self._seen:
                self.fixed, self.per_row = 0.0, ns / rows
            self._seen[key] = [rows, ns, 1.0, self._count]
            self.largest = max(self.largest, rows)
            return True
        self.largest = max(self.largest, rows)
        expected = self.expect(rows)
        ratio = ns / expected if expected > 0 else 1.0
        x, y, weight, _ = own
        if weight >= 4:  # before that its mean is too young to call others outliers
            ratio = min(ratio, _OUTLIER)
            self._spread(ratio)
        weight = min(weight + 1, _MEMORY)
        own[0] = x + (rows - x) / weight
        own[1] = y + (ratio * expected - y) / weight
        own[2], own[3] = weight, self._count
        return False

    def expect(self, rows: int) -> float:
        """What a batch of so many rows takes on average; 0 before anything was seen."""
        own = self._seen.get(size_class(rows))
        line = self.fixed + self.per_row * rows
        if own is None:
            return line
        at = self.fixed + self.per_row * own[0]
        return own[1] * line / at if at > 0 else own[1]

    def tail(self, rows: int) -> float:
        """What all but a few batches of so many rows stay below."""
        return self.expect(rows) * self.tail_factor

    def knows(self, rows: int) -> bool:
        """Whether batches of about that size were seen."""
        return size_class(rows) in self._seen

    def _spread(self, ratio: float) -> None:
        # the quantile by steps: up when it is passed, down when not, in proportion to how often either should happen
        self.tail_factor += 0.05 * _QUANTILE if ratio > self.tail_factor else -0.05 * (1 - _QUANTILE)
        self.tail_factor = min(max(self.tail_factor, 1.0), _OUTLIER)
        self._pace += (ratio - self._pace) / 8
        if not 1 / _CHANGED < self._pace < _CHANGED:
            # what runs now tells of the sizes that do not
            for own in self._seen.values():
                own[1] *= self._pace
            self._pace = 1.0
            self.fit()

    def fit(self) -> None:
        """Find the line, for sizes that were not seen: least squares over the classes, old ones counting less."""
        sw = sx = sy = sxx = sxy = 0.0
        for x, y, weight, last in self._seen.values():
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
