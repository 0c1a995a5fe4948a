"""The model of a checkpoint: the network with its two tokenizers, loaded and saved as one.

    model = FLMRModel.from_pretrained("LinWeizheDragon/PreFLMR_ViT-L")

The only place that makes a network from files. `retriever.checkpoint.loading` adds what else a
checkpoint holds: the image processor, text-based vision, calibration, and its identity.
"""

from pathlib import Path
from typing import Self

from retriever.checkpoint.files import resolve
from retriever.checkpoint.weights import load_weights, save_weights, unfilled, verify_files
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig
from retriever.model.flmr import FLMR


class FLMRModel(FLMR):
    """A network that takes the ids which it treats apart from its tokenizers.

    Args:
        config: what the checkpoint's config.json says.
        query_tokenizer: knows the id of the separator that ends the instruction; needed
            where the config masks instructions.
        passage_tokenizer: knows the ids of punctuation, which is not scored; needed where
            the config masks punctuation.
    """

    def __init__(
        self,
        config: FLMRConfig,
        query_tokenizer: QueryTokenizer | None = None,
        passage_tokenizer: PassageTokenizer | None = None,
    ) -> None:
        separator, separator_id = config.mask_instruction_token, None
        if query_tokenizer is not None and separator is not None:
            separator_id = query_tokenizer.separator_id(separator)
        punctuation_ids: list[int] = []
        if passage_tokenizer is not None and config.mask_punctuation:
            punctuation_ids = passage_tokenizer.punctuation_ids
        super().__init__(config, separator_id, punctuation_ids)
        self._tokenizers = query_tokenizer, passage_tokenizer

    @classmethod
    def from_pretrained(cls, location: Path | str, revision: str | None = None) -> Self:
        """Return the model of a checkpoint, in float32 on the CPU, ready for inference.

        Args:
            location: a directory as released, or a hub repository id.
            revision: branch, tag or commit of the repository; None for the newest.

        Raises:
            InvalidCheckpoint: no such checkpoint, another architecture, a damaged file.
            CheckpointMismatch: missing or unexpected weights, all of them listed.
        """
        directory = resolve(location, revision)
        verify_files(directory)
        return cls.from_directory(directory)

    @classmethod
    def from_directory(cls, directory: Path) -> Self:
        """Return the model in a directory whose files have been verified."""
        config = FLMRConfig.from_pretrained(directory)
        tokenizers = (
            QueryTokenizer.from_pretrained(directory),
            PassageTokenizer.from_pretrained(directory),
        )
        with unfilled():
            model = cls(config, *tokenizers)
        load_weights(model, config, directory)
        return model.eval()

    def save_pretrained(self, directory: Path | str) -> None:
        """Write config, weights and tokenizers: `from_pretrained` gives the model back.

        The layout and names are the released ones, which the public implementation reads.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.config.save_pretrained(directory)
        self.query_tokenizer.save_pretrained(directory)
        self.passage_tokenizer.save_pretrained(directory)
        save_weights(self, directory)

    @property
    def query_tokenizer(self) -> QueryTokenizer:
        """Return the tokenizer of queries."""
        if self._tokenizers[0] is None:
            raise ValueError("this model was built without its query tokenizer: give it one")
        return self._tokenizers[0]

    @property
    def passage_tokenizer(self) -> PassageTokenizer:
        """Return the tokenizer of passages."""
        if self._tokenizers[1] is None:
            raise ValueError("this model was built without its passage tokenizer: give it one")
        return self._tokenizers[1]
