"""Questions and passages to token ids, as FLMR was trained to read them.

Both tokenizers are BERT WordPiece over a vocab.txt. A marker token stands at
position 1 ([unused0] for queries, [unused1] for passages). Query padding becomes
[MASK]: those positions read the question and add to the score, but nothing
attends to them. Reference behaviour: FLMR's slow tokenizers, fixture for fixture.

Shapes: B texts, L tokens.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from retriever.errors import InvalidCheckpoint

QUERY_DIRECTORY = "query_tokenizer"
PASSAGE_DIRECTORY = "context_tokenizer"
ADDED_TOKENS_NAME = "added_tokens.json"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKER_PLACEHOLDER = ". "  # its first token is overwritten by the marker
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def query_text(instruction: str, question: str, separator: str = ":") -> str:
    """Return instruction and question as one text, as the released evaluator joins them.

    >>> query_text("Describe this. ", "What is it?")
    'Describe this.:  What is it? '
    """
    instruction = instruction.strip()
    if not instruction.endswith(separator):
        instruction += separator
    return " ".join([instruction, "", question, ""])


class Piece(NamedTuple):
    """A token and where it stands.

    Attributes:
        id: in the vocabulary.
        span: the first of its characters in the text and the one after its last; None for a
            marker, which stands for none.
        word: equal for the pieces of one word; None for a marker.
    """

    id: int
    span: tuple[int, int] | None
    word: int | None


class WordPieceTokenizer:
    """BERT WordPiece with FLMR's marker at position 1.

    Args:
        vocab: token to id.
        max_length: tokens a text is cut to, markers included.
        marker: the token at position 1.
        lowercase: whether text is lower-cased and stripped of accents.
        added_tokens: tokens that are never split, to ids; FLMR adds nine such as <BOK>.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        max_length: int,
        marker: str,
        *,
        lowercase: bool = True,
        added_tokens: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.vocab, self.max_length, self.lowercase = vocab, max_length, lowercase
        self.added_tokens = dict(added_tokens)
        self.pad_id, self.mask_id, self.marker_id = vocab["[PAD]"], vocab["[MASK]"], vocab[marker]
        self._tokenizer = _word_piece(vocab, self.added_tokens, lowercase)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text with marker, however long it is."""
        encoded = self._tokenizer.encode_batch([MARKER_PLACEHOLDER + text for text in texts])
        rows = [list(encoding.ids) for encoding in encoded]
        for ids in rows:
            ids[1] = self.marker_id
        return rows

    def pieces(self, text: str, max_length: int | None = None) -> list["Piece"]:
        """Return the tokens of a text with their places in it, cut as by `encode`."""
        encoding = self._tokenizer.encode(MARKER_PLACEHOLDER + text)
        begin = len(MARKER_PLACEHOLDER)
        pieces = [
            Piece(id_, None if word is None or end <= begin else (start - begin, end - begin), word)
            for id_, (start, end), word in zip(
                encoding.ids, encoding.offsets, encoding.word_ids, strict=True
            )
        ]
        pieces[1] = Piece(self.marker_id, None, None)
        kept = self.cut(list(range(len(pieces))), max_length)
        return [pieces[i] for i in kept]

    def cut(self, ids: list[int], max_length: int | None = None) -> list[int]:
        """Return the ids, cut in front of [SEP] where they are more than `max_length`."""
        limit = self.max_length if max_length is None else max_length
        if limit < 3:
            raise ValueError(f"max_length is {limit}; [CLS], the marker and [SEP] need 3")
        return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """Return the ids of each text, cut to `max_length`, with marker and no padding."""
        return [self.cut(ids, max_length) for ids in self.tokenize(texts)]

    def pad(self, rows: Sequence[list[int]]) -> dict[str, Tensor]:
        """Return input_ids and attention_mask [B, longest] of encoded rows."""
        return _pad(rows, max(map(len, rows)), self.pad_id)

    def first_id(self, text: str) -> int:
        """Return the id of a text's first word piece."""
        return int(self._tokenizer.encode(text, add_special_tokens=False).ids[0])

    @property
    def punctuation_ids(self) -> list[int]:
        """Return the first word piece of each ASCII punctuation mark."""
        return [self.first_id(mark) for mark in PUNCTUATION]

    def save(self, directory: Path, settings: dict[str, object]) -> None:
        """Write vocab.txt and the two JSON files that released checkpoints carry."""
        directory.mkdir(parents=True, exist_ok=True)
        ordered = sorted(self.vocab, key=self.vocab.__getitem__)
        (directory / "vocab.txt").write_text("".join(f"{t}\n" for t in ordered), encoding="utf-8")
        if self.added_tokens:
            text = json.dumps(self.added_tokens, indent=2) + "\n"
            (directory / ADDED_TOKENS_NAME).write_text(text, encoding="utf-8")
        names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        special = dict(zip(names, SPECIAL_TOKENS, strict=True))
        config = {**special, "do_lower_case": self.lowercase, "model_max_length": 512, **settings}
        for name, content in (
            ("special_tokens_map.json", special),
            ("tokenizer_config.json", config),
        ):
            text = json.dumps(content, indent=2) + "\n"
            (directory / name).write_text(text, encoding="utf-8")


class QueryTokenizer(WordPieceTokenizer):
    """Query texts, always padded to `max_length` with [MASK]."""

    def __init__(
        self,
        vocab: dict[str, int],
        max_length: int = 32,
        *,
        lowercase: bool = True,
        added_tokens: Mapping[str, int] = MappingProxyType({}),
        attend_to_mask_tokens: bool = False,
    ) -> None:
        super().__init__(
            vocab, max_length, "[unused0]", lowercase=lowercase, added_tokens=added_tokens
        )
        self.attend_to_mask_tokens = attend_to_mask_tokens

    @classmethod
    def from_pretrained(cls, checkpoint: Path | str) -> "QueryTokenizer":
        """Return the tokenizer in the query_tokenizer directory of a checkpoint's directory.

        Raises:
            InvalidCheckpoint: it is not there, or is no tokenizer.
        """
        vocab, added_tokens, config = _read(Path(checkpoint) / QUERY_DIRECTORY)
        return cls(
            vocab,
            int(config.get("query_maxlen", 32)),
            lowercase=bool(config.get("do_lower_case", True)),
            added_tokens=added_tokens,
            attend_to_mask_tokens=bool(config.get("attend_to_mask_tokens", False)),
        )

    def save_pretrained(self, checkpoint: Path) -> None:
        """Write the query_tokenizer directory of a checkpoint."""
        settings: dict[str, object] = {
            "tokenizer_class": "FLMRQueryEncoderTokenizer",
            "query_maxlen": self.max_length,
            "attend_to_mask_tokens": self.attend_to_mask_tokens,
        }
        self.save(checkpoint / QUERY_DIRECTORY, settings)

    def separator_id(self, separator: str) -> int:
        """Return the id of the token that ends an instruction: its first word piece.

        Raises:
            InvalidCheckpoint: the vocabulary does not have it.
        """
        if (id_ := self.first_id(separator)) == self.vocab["[UNK]"]:
            raise InvalidCheckpoint(
                f"mask_instruction_token {separator!r} is not in the query tokenizer's vocab.txt"
            )
        return id_

    def __call__(
        self, texts: str | Sequence[str], max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, both [B, max_length]."""
        rows = self.tokenize([texts] if isinstance(texts, str) else texts)
        return self.batch(rows, max_length)

    def batch(self, rows: Sequence[list[int]], max_length: int | None = None) -> dict[str, Tensor]:
        """Return the tensors of tokenized texts, cut and padded with [MASK] to `max_length`."""
        rows = [self.cut(ids, max_length) for ids in rows]
        batch = _pad(rows, self.max_length if max_length is None else max_length, self.pad_id)
        ids_BL = batch["input_ids"]
        # Every [PAD], a literal one in the text too, as the reference does.
        ids_BL[ids_BL == self.pad_id] = self.mask_id
        if self.attend_to_mask_tokens:
            batch["attention_mask"] = torch.ones_like(ids_BL)
        return batch


class PassageTokenizer(WordPieceTokenizer):
    """Passage texts. Padding stays [PAD]."""

    def __init__(
        self,
        vocab: dict[str, int],
        max_length: int = 512,
        *,
        lowercase: bool = True,
        added_tokens: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(
            vocab, max_length, "[unused1]", lowercase=lowercase, added_tokens=added_tokens
        )

    @classmethod
    def from_pretrained(cls, checkpoint: Path | str) -> "PassageTokenizer":
        """Return the tokenizer in the context_tokenizer directory of a checkpoint's directory.

        Raises:
            InvalidCheckpoint: it is not there, or is no tokenizer.
        """
        vocab, added_tokens, config = _read(Path(checkpoint) / PASSAGE_DIRECTORY)
        return cls(
            vocab,
            int(config.get("doc_maxlen", 512)),
            lowercase=bool(config.get("do_lower_case", True)),
            added_tokens=added_tokens,
        )

    def save_pretrained(self, checkpoint: Path) -> None:
        """Write the context_tokenizer directory of a checkpoint."""
        settings: dict[str, object] = {
            "tokenizer_class": "FLMRContextEncoderTokenizer",
            "doc_maxlen": self.max_length,
        }
        self.save(checkpoint / PASSAGE_DIRECTORY, settings)

    def __call__(
        self,
        texts: str | Sequence[str],
        max_length: int | None = None,
        padding: str = "max_length",
    ) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, both [B, L].

        L is `max_length` (never above the tokenizer's own), or the longest text of
        the batch when `padding` is "longest".
        """
        limit = self.max_length if max_length is None else min(max_length, self.max_length)
        rows = self.encode([texts] if isinstance(texts, str) else texts, limit)
        width = max(map(len, rows)) if padding == "longest" else limit
        return _pad(rows, width, self.pad_id)


def _word_piece(vocab: dict[str, int], added_tokens: dict[str, int], lowercase: bool) -> Tokenizer:
    # Added tokens keep their ids by being in the vocabulary, and stay whole by being special.
    pieces = {**vocab, **added_tokens}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=None)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([*SPECIAL_TOKENS, *added_tokens])
    return tokenizer


def _pad(rows: Sequence[list[int]], width: int, pad_id: int) -> dict[str, Tensor]:
    lengths_B = torch.tensor([len(row) for row in rows])
    mask_BL = torch.arange(width) < lengths_B[:, None]
    ids_BL = torch.full((len(rows), width), pad_id, dtype=torch.long)
    ids_BL[mask_BL] = torch.tensor([id_ for row in rows for id_ in row])
    return {"input_ids": ids_BL, "attention_mask": mask_BL.long()}


def _read(directory: Path) -> tuple[dict[str, int], dict[str, int], dict[str, Any]]:
    """Return vocabulary, added tokens and settings of a tokenizer's directory."""
    added = directory / ADDED_TOKENS_NAME
    try:
        # Not splitlines(): a vocabulary holds characters that Python takes for line ends.
        lines = (directory / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
        added_tokens: dict[str, int] = {}
        for id_, token in config.get("added_tokens_decoder", {}).items():
            added_tokens[str(token["content"])] = int(id_)
        if added.exists():
            added_tokens |= json.loads(added.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InvalidCheckpoint(
            f"{directory}: no usable tokenizer here ({exc}). A checkpoint needs vocab.txt and "
            f"tokenizer_config.json in {QUERY_DIRECTORY}/ and {PASSAGE_DIRECTORY}/. Give its "
            "directory here; the id of a hub repository is for load_checkpoint."
        ) from exc
    vocab = {token.rstrip("\r"): i for i, token in enumerate(lines)}
    missing = [t for t in (*SPECIAL_TOKENS, "[unused0]", "[unused1]") if t not in vocab]
    if missing:
        raise InvalidCheckpoint(f"{directory / 'vocab.txt'}: the tokens {missing} are missing.")
    # transformers lists the special tokens of every BERT there too.
    own = {token: id_ for token, id_ in added_tokens.items() if token not in SPECIAL_TOKENS}
    return vocab, own, config
