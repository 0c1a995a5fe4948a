"""FLMR and PreFLMR (arXiv 2402.08327): one model class for every checkpoint.

    query   = normalise([ W text(question) ; prefix MLP(pooled) ; mapping(patches, question) ])
    passage = normalise(  W' text(passage) )
    score   = maxsim(query, passage)

The state-dict names are the released ones. Where query and passage share a tower,
it exists once and keeps the `query_` name, as in the released files. What is built
follows from the config alone: nothing is looked up, and no remote code runs.

Shapes: B queries or passages, L text tokens, R regions of interest, H text width,
N patches, V pooled width, P prefix tokens, Q query tokens, D embedding dim.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertModel

from retriever.config import EFFICIENTNET, FLMRConfig
from retriever.hub import resolve
from retriever.mapping import MappingTransformer, PrefixMLP, all_ones_mask, init_weights
from retriever.tokenization import PassageTokenizer, QueryTokenizer
from retriever.vision import (
    CLIPVisionEncoder,
    EfficientNetVisionEncoder,
    VisionFeatures,
)
from retriever.weights import load_weights, save_weights, verify_files

Flags = bool | Sequence[bool]

logger = logging.getLogger(__name__)


class TextEncoder(nn.Module):
    """BERT under the name released checkpoints give it. The pooler exists and is never used."""

    def __init__(self, config: FLMRConfig) -> None:
        super().__init__()
        self.bert_model = BertModel(config.bert_config())

    def forward(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None) -> Tensor:
        """Return the last hidden states [B, L, H]."""
        output = self.bert_model(input_ids=input_ids_BL, attention_mask=attention_mask_BL)
        return cast(Tensor, output.last_hidden_state)


class FLMRModel(nn.Module):
    """The retriever's model.

        model = FLMRModel.from_pretrained("LinWeizheDragon/PreFLMR_ViT-L")

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
        super().__init__()
        self.config = config
        self._tokenizers = query_tokenizer, passage_tokenizer
        self.separator_id = None
        if query_tokenizer is not None and config.mask_instruction_token is not None:
            self.separator_id = query_tokenizer.separator_id(config.mask_instruction_token)
        self.punctuation_ids: tuple[int, ...] = ()
        if passage_tokenizer is not None and config.mask_punctuation:
            self.punctuation_ids = tuple(sorted(set(passage_tokenizer.punctuation_ids)))
        hidden = config.bert_config().hidden_size
        self.query_text_encoder = TextEncoder(config)
        self.query_text_encoder_linear = nn.Linear(hidden, config.dim, bias=False)
        if config.separate_query_and_context_text_encoder:
            self.context_text_encoder = TextEncoder(config)
            self.context_text_encoder_linear = nn.Linear(hidden, config.dim, bias=False)
        if config.use_vision_encoder:
            self._build_vision(config)
        init_weights(self, config.initializer_range)

    def _build_vision(self, config: FLMRConfig) -> None:
        self.query_vision_encoder = _vision_encoder(config)
        pooled, patch = (
            self.query_vision_encoder.pooled_size,
            self.query_vision_encoder.patch_size,
        )
        prefix = config.mapping_network_prefix_length
        self.query_vision_projection = PrefixMLP(pooled, prefix, config.dim)
        if config.separate_query_and_context_vision_encoder:
            self.context_vision_encoder = _vision_encoder(config)
            self.context_vision_projection = PrefixMLP(pooled, prefix, config.dim)
        if config.use_transformer_mapping_network:
            mapping = config.mapping_config()
            self.transformer_mapping_input_linear = nn.Linear(patch, mapping.hidden_size)
            self.transformer_mapping_network = MappingTransformer(mapping)
            self.transformer_mapping_output_linear = nn.Linear(mapping.hidden_size, config.dim)

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
        with torch.device("meta"):
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

    def encode_query(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
        concat_text: Flags | None = None,
        concat_vision: Flags | None = None,
    ) -> Tensor:
        """Return query embeddings [B, Q, D]: unit rows, masked rows all zero.

        Args:
            input_ids: [B, L], from `QueryTokenizer`; None for a picture alone, which only
                checkpoints without a mapping transformer can embed.
            attention_mask: [B, L].
            pixel_values: [B, 3, H, W], or [B, R, 3, H, W] for several regions.
            image_features: [B, V] or [B, R, V] pooled vectors in place of pixels, for
                checkpoints without a mapping transformer.
            concat_text: whether text rows are part of the query; a list gives one flag
                a sample. Default: what the checkpoint's config says.
            concat_vision: the same for visual rows; without any picture, False.

        Raises:
            ValueError: inputs that exclude or lack each other.
        """
        if pixel_values is not None and image_features is not None:
            raise ValueError("give pixel_values or image_features, not both")
        if (pixel_values is not None or image_features is not None) and (
            not self.config.use_vision_encoder
        ):
            raise ValueError("this checkpoint has no vision encoder: ask without a picture")
        text_BLH = None
        if input_ids is not None:
            text_BLH = self.query_text_encoder(input_ids, attention_mask)
        vision = None
        if pixel_values is not None:
            vision = self._see(self.query_vision_encoder, pixel_values)
        elif image_features is not None:
            if self.config.use_transformer_mapping_network:
                raise ValueError(
                    "this checkpoint's mapping network reads patches: give pixel_values, "
                    "not image_features"
                )
            vision = VisionFeatures(image_features, image_features[:, :0])
        return self.embed_query(input_ids, text_BLH, vision, concat_text, concat_vision)

    def embed_query(
        self,
        input_ids_BL: Tensor | None,
        text_BLH: Tensor | None,
        vision: VisionFeatures | None,
        concat_text: Flags | None = None,
        concat_vision: Flags | None = None,
    ) -> Tensor:
        """Return query embeddings [B, Q, D] from the towers' outputs.

        Training on cached features starts here; `encode_query` runs the towers first.
        """
        if concat_text is None:
            concat_text = text_BLH is not None and self.config.query_concat_output_from_text_encoder
        if concat_vision is None:
            concat_vision = (
                vision is not None and self.config.query_concat_output_from_vision_encoder
            )
        parts = []
        if concat_text is not False:
            if text_BLH is None or input_ids_BL is None:
                raise ValueError("concat_text needs a question: give input_ids")
            rows_BLD = self.query_text_encoder_linear(text_BLH)
            rows_BLD = rows_BLD * self.query_mask(input_ids_BL)[..., None]
            parts.append(_switch(rows_BLD, concat_text))
        if concat_vision is not False:
            if vision is None:
                raise ValueError("concat_vision needs a picture: give pixel_values")
            rows_BND = self._map_vision(input_ids_BL, text_BLH, vision)
            parts.append(_switch(rows_BND, concat_vision))
        if not parts:
            raise ValueError("a query needs text rows, visual rows or both")
        # In float32 whatever the towers' dtype: a half has three digits.
        return F.normalize(torch.cat(parts, dim=1).float(), dim=-1)

    def encode_passage(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return passage embeddings [B, P, D] (unit rows) and which rows count, bool [B, P].

        A passage is text, a picture, or both: the picture's prefix tokens stand in front of
        the text. The mapping transformer is never used for passages.

        Args:
            input_ids: [B, L], from `PassageTokenizer`; None for pictures alone.
            attention_mask: [B, L].
            pixel_values: [B, 3, H, W].
            image_features: [B, V] pooled vectors in place of pixels.

        Raises:
            ValueError: inputs that exclude each other, or none at all.
        """
        if pixel_values is not None and image_features is not None:
            raise ValueError("give pixel_values or image_features, not both")
        parts, masks = [], []
        if pixel_values is not None or image_features is not None:
            parts.append(self._passage_prefix(pixel_values, image_features))
            masks.append(parts[0].new_ones(parts[0].shape[:2], dtype=torch.bool))
        if input_ids is not None:
            rows_BLD, mask_BL = self._passage_text(input_ids, attention_mask)
            parts.append(rows_BLD)
            masks.append(mask_BL)
        if not parts:
            raise ValueError("a passage needs input_ids, pixel_values or both")
        return torch.cat(parts, dim=1), torch.cat(masks, dim=1)

    def _passage_text(
        self, input_ids: Tensor, attention_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        shared_text = not self.config.separate_query_and_context_text_encoder
        encoder = self.query_text_encoder if shared_text else self.context_text_encoder
        return self.embed_passage(input_ids, encoder(input_ids, attention_mask))

    def _passage_prefix(self, pixels: Tensor | None, pooled: Tensor | None) -> Tensor:
        """Return a picture's rows in front of a passage, [B, prefix, D]."""
        if not self.config.use_vision_encoder:
            raise ValueError("this checkpoint has no vision encoder: give no pictures")
        shared = not self.config.separate_query_and_context_vision_encoder
        if pooled is None:
            tower = self.query_vision_encoder if shared else self.context_vision_encoder
            pooled = self._see(tower, cast(Tensor, pixels)).pooled_BV
        project = self.query_vision_projection if shared else self.context_vision_projection
        return F.normalize(_project_regions(project, pooled).float(), dim=-1)

    def embed_passage(self, input_ids_BL: Tensor, text_BLH: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit rows [B, L, D] and mask [B, L] from the text encoder's output."""
        shared = not self.config.separate_query_and_context_text_encoder
        linear = self.query_text_encoder_linear if shared else self.context_text_encoder_linear
        mask_BL = self.passage_mask(input_ids_BL)
        rows_BLD = linear(text_BLH) * mask_BL[..., None]
        return F.normalize(rows_BLD.float(), dim=-1), mask_BL

    def query_mask(self, input_ids_BL: Tensor) -> Tensor:
        """Return which query text rows count, bool [B, L].

        [CLS], the marker, the question and the [MASK] padding count; the instruction
        does not: positions 2 up to and including the first separator. A query without
        a separator keeps everything, as in the reference, and is warned of.
        """
        keep_BL = input_ids_BL != 0
        skip = self.config.query_mask_input_ids_skip_list
        if skip:
            keep_BL &= all_ones_mask(input_ids_BL, skip)
        if self.config.mask_instruction_token is None:
            return keep_BL
        if self.separator_id is None:
            raise ValueError(
                "the instruction cannot be masked: this model was built without its query tokenizer"
            )
        lacking = int((~(input_ids_BL == self.separator_id).any(1)).sum())
        if lacking:
            logger.warning(
                "%d of %d queries hold no separator %r, so that no instruction is masked: begin "
                "them with an instruction (retriever.tokenization.query_text)",
                *(lacking, len(input_ids_BL), self.config.mask_instruction_token),
            )
        first_B1 = (input_ids_BL == self.separator_id).int().argmax(1, keepdim=True).clamp(min=1)
        position_L = torch.arange(input_ids_BL.shape[1], device=input_ids_BL.device)
        return keep_BL & ((position_L < 2) | (position_L > first_B1))

    def passage_mask(self, input_ids_BL: Tensor) -> Tensor:
        """Return which passage rows count, bool [B, L]: no padding, no punctuation."""
        mask_BL = input_ids_BL != 0
        if not self.config.mask_punctuation:
            return mask_BL
        if not self.punctuation_ids:
            raise ValueError(
                "punctuation cannot be masked: this model was built without its passage tokenizer"
            )
        return mask_BL & all_ones_mask(input_ids_BL, self.punctuation_ids)

    def _map_vision(
        self, ids_BL: Tensor | None, text_BLH: Tensor | None, vision: VisionFeatures
    ) -> Tensor:
        """Return visual rows [B, R P (+ N), D], not yet normalised."""
        prefix_BPD = _project_regions(self.query_vision_projection, vision.pooled_BV)
        if not self.config.use_transformer_mapping_network:
            return prefix_BPD
        if ids_BL is None or text_BLH is None:
            raise ValueError(
                "this checkpoint's patches attend to the question: give input_ids with the picture"
            )
        if vision.pooled_BV.dim() == 3 and vision.pooled_BV.shape[1] > 1:
            raise ValueError(
                f"{vision.pooled_BV.shape[1]} regions of interest: the mapping transformer "
                "takes one picture a query. Use an FLMR checkpoint for several regions."
            )
        length = self.config.transformer_mapping_cross_attention_length
        mask_BL = all_ones_mask(ids_BL, self.config.query_mask_input_ids_skip_list)
        patches_BNH = self.transformer_mapping_input_linear(vision.patches_BNW)
        mapped_BNH = self.transformer_mapping_network(
            patches_BNH, text_BLH[:, :length], mask_BL[:, :length]
        )
        return torch.cat([prefix_BPD, self.transformer_mapping_output_linear(mapped_BNH)], dim=1)

    @staticmethod
    def _see(encoder: nn.Module, pixels: Tensor) -> VisionFeatures:
        """Return features of [B, 3, H, W] or [B, R, 3, H, W]; regions stay apart in `pooled`."""
        if pixels.dim() == 4:
            return cast(VisionFeatures, encoder(pixels))
        batch, regions = pixels.shape[:2]
        pooled, patches = encoder(pixels.flatten(0, 1))
        return VisionFeatures(
            pooled.reshape(batch, regions, -1), patches.reshape(batch, -1, patches.shape[-1])
        )


def _vision_encoder(config: FLMRConfig) -> CLIPVisionEncoder | EfficientNetVisionEncoder:
    if config.vision_type == EFFICIENTNET:
        settings = {k: v for k, v in config.vision_config.items() if k != "model_type"}
        return EfficientNetVisionEncoder(**settings)
    return CLIPVisionEncoder(config.clip_vision_config())


def _project_regions(project: PrefixMLP, pooled: Tensor) -> Tensor:
    """Return prefix tokens [B, R P, D] for pooled [B, V] or [B, R, V]."""
    tokens: Tensor = project(pooled.flatten(0, -2))
    return tokens.reshape(len(pooled), -1, project.dim)


def _switch(rows_BND: Tensor, flags: Flags) -> Tensor:
    """Return the rows, zeroed where a sample's flag is off."""
    if isinstance(flags, bool):
        return rows_BND
    if len(flags) != len(rows_BND):
        raise ValueError(f"{len(flags)} flags for {len(rows_BND)} queries")
    return rows_BND * torch.tensor(list(flags), device=rows_BND.device)[:, None, None]
