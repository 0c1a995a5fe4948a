"""Questions and passages to token ids, as FLMR was trained to read them.

Both tokenizers are BERT WordPiece over a vocab.txt. A marker token stands at
position 1 ([unused0] for queries, [unused1] for passages). Query padding becomes
[MASK]: those positions read the question and add to the score, but nothing
attends to them. Reference behaviour: FLMR's slow tokenizers, fixture for fixture.

Shapes: B texts, L tokens.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from retriever.errors import InvalidCheckpoint

QUERY_DIRECTORY = "query_tokenizer"
PASSAGE_DIRECTORY = "context_tokenizer"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKER_PLACEHOLDER = ". "  # its first token is overwritten by the marker
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class WordPieceTokenizer:
    """BERT WordPiece with FLMR's marker at position 1.

    Attributes:
        max_length: tokens a text is cut to, markers included.
        vocab: token to id.
    """

    def __init__(
        self, vocab: dict[str, int], max_length: int, marker: str, *, lowercase: bool = True
    ) -> None:
        self.vocab, self.max_length, self.lowercase = vocab, max_length, lowercase
        self.pad_id, self.mask_id, self.marker_id = vocab["[PAD]"], vocab["[MASK]"], vocab[marker]
        self._tokenizer = _word_piece(vocab, lowercase)

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """Return the ids of each text, cut to `max_length`, with marker and no padding."""
        limit = self.max_length if max_length is None else max_length
        if limit < 3:
            raise ValueError(f"max_length is {limit}; [CLS], the marker and [SEP] need 3")
        encoded = self._tokenizer.encode_batch([MARKER_PLACEHOLDER + text for text in texts])
        rows = []
        for encoding in encoded:
            ids = list(encoding.ids)
            if len(ids) > limit:
                ids = [*ids[: limit - 1], ids[-1]]
            ids[1] = self.marker_id
            rows.append(ids)
        return rows

    def pad(self, rows: Sequence[list[int]]) -> dict[str, Tensor]:
        """Return input_ids and attention_mask [B, longest] of encoded rows."""
        return _pad(rows, max(map(len, rows)), self.pad_id)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has before any cut, marker and specials included."""
        return [len(e.ids) for e in self._tokenizer.encode_batch([". " + text for text in texts])]

    @property
    def punctuation_ids(self) -> list[int]:
        """Return the first word piece of each ASCII punctuation mark."""
        return [
            self._tokenizer.encode(mark, add_special_tokens=False).ids[0] for mark in PUNCTUATION
        ]

    def save(self, directory: Path, settings: dict[str, object]) -> None:
        """Write vocab.txt and the two JSON files that released checkpoints carry."""
        directory.mkdir(parents=True, exist_ok=True)
        ordered = sorted(self.vocab, key=self.vocab.__getitem__)
        (directory / "vocab.txt").write_text("".join(f"{t}\n" for t in ordered), encoding="utf-8")
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
        attend_to_mask_tokens: bool = False,
    ) -> None:
        super().__init__(vocab, max_length, "[unused0]", lowercase=lowercase)
        self.attend_to_mask_tokens = attend_to_mask_tokens

    @classmethod
    def from_pretrained(cls, checkpoint: Path | str) -> "QueryTokenizer":
        """Return the tokenizer in a checkpoint's query_tokenizer directory."""
        vocab, config = _read(Path(checkpoint) / QUERY_DIRECTORY)
        return cls(
            vocab,
            int(config.get("query_maxlen", 32)),
            lowercase=bool(config.get("do_lower_case", True)),
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

    def __call__(
        self, texts: str | Sequence[str], max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, both [B, max_length]."""
        rows = self.encode([texts] if isinstance(texts, str) else texts, max_length)
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
        self, vocab: dict[str, int], max_length: int = 512, *, lowercase: bool = True
    ) -> None:
        super().__init__(vocab, max_length, "[unused1]", lowercase=lowercase)

    @classmethod
    def from_pretrained(cls, checkpoint: Path | str) -> "PassageTokenizer":
        """Return the tokenizer in a checkpoint's context_tokenizer directory."""
        vocab, config = _read(Path(checkpoint) / PASSAGE_DIRECTORY)
        lowercase = bool(config.get("do_lower_case", True))
        return cls(vocab, int(config.get("doc_maxlen", 512)), lowercase=lowercase)

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


def _word_piece(vocab: dict[str, int], lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=None)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocab])
    return tokenizer


def _pad(rows: Sequence[list[int]], width: int, pad_id: int) -> dict[str, Tensor]:
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _read(directory: Path) -> tuple[dict[str, int], dict[str, Any]]:
    try:
        lines = (directory / "vocab.txt").read_text(encoding="utf-8").splitlines()
        config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InvalidCheckpoint(
            f"{directory}: no usable tokenizer here ({exc}). A checkpoint needs vocab.txt and "
            f"tokenizer_config.json in {QUERY_DIRECTORY}/ and {PASSAGE_DIRECTORY}/."
        ) from exc
    vocab = {token: i for i, token in enumerate(lines)}
    missing = [t for t in (*SPECIAL_TOKENS, "[unused0]", "[unused1]") if t not in vocab]
    if missing:
        raise InvalidCheckpoint(f"{directory / 'vocab.txt'}: the tokens {missing} are missing.")
    return vocab, config
