"""Tolerances that follow from the arithmetic, for sums whose order depends on the processor."""

UNIT_FLOAT32 = 2.0**-24


def rounding(terms: int, *, rows: int = 1) -> float:
    """Return how far two float32 MaxSims of the same unit rows can be apart.

    A dot product of `terms` products, of vectors of length 1, is wrong by at most
    terms x u whatever the order it is added up in (Higham 2002, section 3.1: gamma_n times
    sum |x||y|, which is at most 1). The sum over `rows` maxima adds as many of these errors,
    and rows x u for each of its partial sums, which are at most `rows`. Two results may be
    wrong in opposite directions.

    >>> rounding(16, rows=5) < 2e-5
    True
    """
    return 2 * UNIT_FLOAT32 * rows * (terms + rows)
