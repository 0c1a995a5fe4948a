"""What `benchmarks.gpu` measures with: models, passages, pictures, corpora, random but the same.

Shapes: Q query rows · P passage rows · N passages · T rows of all passages · D embedding dim
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from corpus.types import Passage, Query
from retriever.checkpoint.loading import Checkpoint
from retriever.checkpoint.pretrained import FLMRModel
from retriever.encoding.encoder import Encoder
from retriever.encoding.passages import TOKENS_PER_BATCH
from retriever.inputs.images import ImageProcessor
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig

if TYPE_CHECKING:
    from retriever.index.exact import ExactSearcher

# "tf32" is what torch's default makes of float32 convolutions on CUDA.
DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
D = 128
LENGTH = 180  # tokens of a passage, where not said otherwise
RESERVE = 3 * 2**30  # bytes that are not for the corpus: tiles, and rows being made
CHUNK = 2**20  # rows made at a time


class Corpus(NamedTuple):
    """Random passages: how many, how they are kept, and the shortest and longest of them."""

    passages: int
    precision: str = "float16"
    shortest: int = LENGTH
    longest: int = LENGTH

    def __str__(self) -> str:
        return f"{self.passages:,} in {self.precision}, {self.shortest} to {self.longest} tokens"


VIT_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
}


@dataclass(frozen=True, eq=False)
class Sizes:
    """How large everything is.

    Attributes:
        matmul: side of the matrices whose product is the device's peak.
        copied: bytes that are copied to measure the memory.
        text: what differs from BERT-base.
        towers: by name, what differs from CLIP ViT-B/32. The first one's model reads passages.
        corpora: are searched; the kernels are compared on the second.
        compared: the last passages of a corpus, which the CPU scores too.
        query_rows: rows of the queries.
        batch_tokens: in a batch of passages for the model alone.
        encoded: passages for the encoder.
        pictures: queries with a picture in a batch.
    """

    matmul: int = 8192
    copied: int = 2**32
    text: Mapping[str, Any] = field(default_factory=dict)
    towers: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"ViT-B": {}, "ViT-L": VIT_L}
    )
    corpora: Sequence[Corpus] = (
        Corpus(15_000),
        Corpus(114_000),
        Corpus(1_000_000),
        Corpus(114_000, "float16", 60, 300),
        Corpus(114_000, "int8"),
        Corpus(114_000, "float32"),
    )
    compared: int = 15_000
    query_rows: Sequence[int] = (32, 113, 320)
    batch_tokens: int = TOKENS_PER_BATCH["cuda"]
    encoded: int = 8_192
    pictures: int = 64


_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
_TINY |= {"num_hidden_layers": 2}
QUICK = Sizes(
    matmul=128,
    copied=2**20,
    text=_TINY,
    towers={"tiny": {**_TINY, "image_size": 64}},
    corpora=[
        Corpus(60, "float16", 40, 45),
        *(Corpus(60, precision, 40, 40) for precision in ("float16", "int8", "float32")),
    ],
    compared=40,
    query_rows=(32, 50),
    batch_tokens=2 * LENGTH,
    encoded=4,
    pictures=2,
)


def synthetic(corpus: Corpus, q_QD: Tensor, device: torch.device) -> "ExactSearcher":
    """Return a corpus of random rows made on the device; the last passage begins with q_QD's."""
    from retriever.index.exact import ExactSearcher
    from retriever.index.passage_index import Fingerprint

    spread = corpus.longest - corpus.shortest + 1
    lengths = sorted(corpus.shortest + i % spread for i in range(corpus.passages))
    T = sum(lengths)
    rows_TD = torch.empty(T, D, dtype=getattr(torch, corpus.precision), device=device)
    scales_T = torch.empty(T, device=device) if corpus.precision == "int8" else None

    def store(start: int, made_TD: Tensor) -> None:
        stop = start + len(made_TD)
        if scales_T is not None:  # as ExactSearcher.load does
            scales_T[start:stop] = made_TD.abs().amax(1) / 127
            made_TD = (made_TD / scales_T[start:stop, None]).round()
        rows_TD[start:stop] = made_TD

    for start in range(0, T, CHUNK):
        store(start, unit_rows(min(CHUNK, T - start), device, seed=start))
    store(T - lengths[-1], q_QD[: lengths[-1]].to(device))
    passages = [Passage(str(i), "", "") for i in range(corpus.passages)]
    made_from = Fingerprint("random", "", "random", "", corpus.passages, D)
    return ExactSearcher(passages, lengths, rows_TD, made_from, scales_T)


def on_cpu(searcher: "ExactSearcher", count: int) -> "ExactSearcher":
    """Return the last passages in float32 on the CPU: what is stored, exactly."""
    from retriever.index.exact import ExactSearcher

    lengths = [run.length for run in searcher._runs for _ in range(run.size)][-count:]
    rows_TD = searcher._rows_TD[-sum(lengths) :].to("cpu", torch.float32, copy=True)
    if searcher._scales_T is not None:
        rows_TD *= searcher._scales_T[-sum(lengths) :].cpu()[:, None]
    return ExactSearcher(searcher.passages[-count:], lengths, rows_TD, searcher.fingerprint)


def fitting(corpus: Corpus, device: torch.device) -> Corpus:
    """Return the corpus, or as much of it as the GPU's free memory holds."""
    if device.type != "cuda":
        return corpus
    free = torch.cuda.mem_get_info(device)[0] - RESERVE
    row = D * getattr(torch, corpus.precision).itemsize + (4 if corpus.precision == "int8" else 0)
    fit = free // (row * (corpus.shortest + corpus.longest) // 2)
    return corpus._replace(passages=max(0, min(corpus.passages, fit)))


@cache
def random_checkpoint(sizes: Sizes, name: str) -> Checkpoint:
    """Return a random PreFLMR with this tower, always the same, over the golden vocabulary."""
    torch.manual_seed(0)
    vocab = PassageTokenizer.from_pretrained(GOLDEN / "B_preflmr").vocab
    config = FLMRConfig(
        separate_query_and_context_text_encoder=True,
        use_transformer_mapping_network=True,
        transformer_mapping_num_hidden_layers=1,
        mask_instruction_token=":",
        text_config=dict(sizes.text),
        mapping_base_config=dict(sizes.text),
        vision_config=dict(sizes.towers[name]),
    )
    model = FLMRModel(config, QueryTokenizer(vocab), PassageTokenizer(vocab)).eval()
    side = config.clip_vision_config().image_size
    return Checkpoint(name, "0" * 12, model, ImageProcessor((side, side), side))


def random_passages(
    checkpoint: Checkpoint, count: int, shortest: int = LENGTH, longest: int = LENGTH
) -> list[Passage]:
    """Return passages of whole words from the shortest to the longest, markers included."""
    words = [token for token in checkpoint.passage_tokenizer.vocab if token.isalpha()]
    rng = np.random.default_rng(0)
    lengths = np.linspace(shortest, longest, count).astype(int)
    return [
        Passage(str(i), "", " ".join(rng.choice(words, length - 3)))
        for i, length in enumerate(lengths)
    ]


def random_queries(count: int) -> list[Query]:
    """Return the same question about so many random pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 375, 500, 3), dtype=np.uint8)
    return [Query("what is this bird", Image.fromarray(picture)) for picture in pixels]


def encoder_of(checkpoint: Checkpoint, device: torch.device, precision: str) -> Encoder:
    """Return an encoder with a copy of the model; sets whether convolutions may use TF32."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    own = replace(checkpoint, model=copy.deepcopy(checkpoint.model))
    return Encoder(own, device, dtype=DTYPES[precision])


def passage_batch(encoder: Encoder, tokens: int) -> dict[str, Tensor]:
    """Return a batch of equally long passages, on the device."""
    passages = random_passages(encoder.checkpoint, tokens // LENGTH, LENGTH)
    tokenizer = encoder.checkpoint.passage_tokenizer
    return on_device(tokenizer([p.text for p in passages], padding="longest"), encoder.device)


def on_device(tokens: Mapping[str, Tensor], device: torch.device) -> dict[str, Any]:
    """Return a model's inputs on the device."""
    return {name: tensor.to(device) for name, tensor in tokens.items()}


def unit_rows(count: int, device: torch.device, seed: int) -> Tensor:
    """Return random rows of length 1."""
    generator = torch.Generator(device).manual_seed(seed)
    return normalize(torch.randn(count, D, generator=generator, device=device), dim=-1)
