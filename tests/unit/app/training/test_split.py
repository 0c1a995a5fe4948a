"""Questions are set apart by what they are about."""

from app.training.checks import Asked
from app.training.split import split_by_entity
from corpus.types import Example, Passage

PASSAGES = {
    f"{country}:{part}": Passage(f"{country}:{part}", country, "text", entity=entity)
    for country, entity in (("ke", "flag:KE"), ("jp", "flag:JP"), ("br", ""), ("no", "flag:NO"))
    for part in "ab"
}


def asked(id_: str, *gold: str, picture: str = "") -> Asked:
    return Asked(f"mine:{id_}", Example(id_, id_, "?", (), gold), picture)


ROWS = [
    asked("1", "ke:a"), asked("2", "ke:b"), asked("3", "jp:a"), asked("4", "jp:b"),
    asked("5", "br:a"), asked("6", "br:b"), asked("7", "no:a"), asked("8", "no:b"),
]  # fmt: skip


def entities(rows: list[Asked]) -> set[str]:
    return {id_.partition(":")[0] for row in rows for id_ in row.example.gold_passage_ids}


def test_no_entity_is_on_both_sides_and_every_question_is_on_one() -> None:
    chosen = set()
    for seed in range(8):
        training, measured = split_by_entity(ROWS, PASSAGES, share=0.25, seed=seed)
        assert len(measured) == 2 and not entities(training) & entities(measured)
        assert sorted([*training, *measured], key=lambda row: row.where) == ROWS
        assert split_by_entity(ROWS, PASSAGES, share=0.25, seed=seed) == (training, measured)
        chosen |= entities(measured)
    assert len(chosen) > 1


def test_questions_with_one_picture_stay_together() -> None:
    rows = [
        asked("1", "ke:a", picture="p"), asked("2", "jp:a", picture="p"),
        asked("3", "br:a"), asked("4", "no:a"),
    ]  # fmt: skip
    for seed in range(8):
        _, measured = split_by_entity(rows, PASSAGES, share=0.5, seed=seed)
        assert ("ke" in entities(measured)) == ("jp" in entities(measured))


def test_a_question_about_two_things_joins_them_and_too_large_a_group_is_trained_on() -> None:
    joined = [*ROWS[:4], asked("9", "ke:a", "jp:a")]
    assert split_by_entity(joined, PASSAGES)[1] == []
    training, measured = split_by_entity([*joined, ROWS[4]], PASSAGES)
    assert entities(measured) == {"br"} and len(training) == 5
