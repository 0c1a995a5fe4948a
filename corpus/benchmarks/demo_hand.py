"""Questions written by hand about pictures of the demo's validation vendor.

    {"id": "hand-001", "image": "images/noto/AI.png", "question": "...",
     "answers": ["91 sq km", "91"], "type": "number", "kind": "flag",
     "gold_passage_ids": ["factbook:AI:Location and borders"]}

They measure, and are never fitted to. What they ask about are entities whose facts no shipped
reader was trained on (`corpus.demo.reading.split_of`).
"""

from dataclasses import dataclass

from corpus.demo.data import demo_file
from corpus.errors import InvalidRecord
from corpus.files.jsonl import UniqueIds, list_field, read_records, text_field
from corpus.types import Example

KINDS = ("flag", "thing")
YES_NO = "yes-no"
TYPES = ("number", "name", "place", YES_NO, "list", "date", "definition")
_SHORTEST_NUMBER = 3


@dataclass(frozen=True, slots=True)
class HandExample(Example):
    """A question written by hand.

    Attributes:
        question_type: what the answer is, one of TYPES.
        kind: what the picture shows, one of KINDS.
    """

    question_type: str = ""
    kind: str = ""

    @property
    def searched(self) -> tuple[str, ...]:
        """Return the answers, without those that stand in passages which prove nothing: yes and
        no, and numbers of one or two digits.
        """
        if self.question_type == YES_NO:
            return ()
        return tuple(
            answer
            for answer in self.answers
            if not answer.isdigit() or len(answer) >= _SHORTEST_NUMBER
        )


def hand_examples() -> list[HandExample]:
    """Return the questions in the order of the file.

    Raises:
        DatasetNotFound: the file is not there.
        InvalidRecord: the first line that cannot be used, and why.
    """
    path = demo_file("handwritten.jsonl")
    ids = UniqueIds(path)
    examples = []
    for line, record in read_records(path):
        example = HandExample(
            id=text_field(path, line, record, "id"),
            image=text_field(path, line, record, "image"),
            question=text_field(path, line, record, "question"),
            answers=list_field(path, line, record, "answers"),
            gold_passage_ids=list_field(path, line, record, "gold_passage_ids"),
            question_type=text_field(path, line, record, "type"),
            kind=text_field(path, line, record, "kind"),
        )
        ids.add(line, example.id)
        for name, value, known in (
            ("type", example.question_type, TYPES),
            ("kind", example.kind, KINDS),
        ):
            if value not in known:
                problem = f"is {value!r}; write one of {', '.join(known)}"
                raise InvalidRecord(path, line, name, problem)
        if example.question_type == YES_NO and example.answers not in (("yes",), ("no",)):
            problem = f'is {list(example.answers)}; write ["yes"] or ["no"]'
            raise InvalidRecord(path, line, "answers", problem)
        examples.append(example)
    return examples
