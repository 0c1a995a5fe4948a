"""Flags that no picture can tell apart: their territories share one design, or nearly.

Territories of a state that fly its flag, and pairs that differ in a shade or a ratio.
A passage about any member answers for all, so evaluation groups them, and training does
not count one as a mistake for another.
"""

# ISO 3166-1 codes, plus the few that flag sets add.
LOOKALIKE_FLAGS: tuple[frozenset[str], ...] = (
    frozenset({"FR", "BL", "MF", "GF", "GP", "MQ", "PM", "RE", "WF", "YT", "CP"}),
    frozenset({"NO", "SJ", "BV"}),
    frozenset({"US", "UM"}),
    frozenset({"AU", "HM"}),
    frozenset({"SH", "AC", "TA"}),
    frozenset({"NL", "BQ"}),
    frozenset({"ID", "MC"}),
    frozenset({"RO", "TD"}),
)


def lookalikes(entity: str) -> frozenset[str]:
    """Return the entities that look like this one, itself among them.

    >>> sorted(lookalikes("flag:TD"))
    ['flag:RO', 'flag:TD']
    >>> sorted(lookalikes("wiki:Tiger"))
    ['wiki:Tiger']
    """
    kind, _, code = entity.partition(":")
    if kind == "flag":
        for group in LOOKALIKE_FLAGS:
            if code in group:
                return frozenset(f"flag:{member}" for member in group)
    return frozenset({entity})
