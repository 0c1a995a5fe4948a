"""FLMR and PreFLMR (arXiv 2402.08327): one model class for every checkpoint.

    query   = normalise([ W text(question) ; prefix MLP(pooled) ; mapping(patches, question) ])
    passage = normalise(  W' text(passage) )
    score   = maxsim(query, passage)

The state-dict names are the released ones. Where query and passage share a tower,
it exists once and keeps the `query_` name, as in the released files. What is built
follows from the config alone: nothing is looked up, and no remote code runs.

Shapes: B queries or passages, L text tokens, R regions of interest, H text width, N patches,
V pooled width, W patch width, M mapping width, P prefix tokens, Q query tokens, D embedding dim.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retriever.model.bert import BertModel
from retriever.model.config import EFFICIENTNET, FLMRConfig
from retriever.model.mapping import MappingTransformer, PrefixMLP, all_ones_mask, init_weights
from retriever.model.vision import CLIPVisionEncoder, EfficientNetVisionEncoder, VisionFeatures

Flags = bool | Sequence[bool]
Side = Literal["query", "context"]  # as state dicts call queries and passages

logger = logging.getLogger(__name__)


class TextEncoder(nn.Module):
    """BERT under the name released checkpoints give it. The pooler exists and is never used."""

    def __init__(self, config: FLMRConfig) -> None:
        super().__init__()
        self.bert_model = BertModel(config.bert_config())

    def forward(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None) -> Tensor:
        """Return the last hidden states [B, L, H]."""
        return cast(Tensor, self.bert_model(input_ids_BL, attention_mask_BL))


class FLMR(nn.Module):
    """The network: what the tokenizers and the image processor made, to embeddings.

    It reads no file and knows no tokenizer, only the ids of the tokens that it treats apart
    (`checkpoint.pretrained.FLMRModel` is the network with its tokenizers, loaded by name).

    Args:
        config: what the checkpoint's config.json says.
        separator_id: of the token that ends the instruction; needed for queries where the
            config masks instructions.
        punctuation_ids: of the tokens that are not scored; needed for passages where the
            config masks punctuation.
    """

    def __init__(
        self,
        config: FLMRConfig,
        separator_id: int | None = None,
        punctuation_ids: Iterable[int] = (),
    ) -> None:
        super().__init__()
        self.config, self.separator_id = config, separator_id
        self.punctuation_ids = tuple(sorted(set(punctuation_ids)))
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

    def forward(
        self,
        input_ids_BL: Tensor | None,
        text_BLH: Tensor | None,
        vision: VisionFeatures | None,
        concat_text: Flags | None = None,
        concat_vision: Flags | None = None,
    ) -> Tensor:
        """Return query embeddings [B, Q, D] from what the towers made of question and picture.

        `encode_query` runs the towers first; training on cached features starts here. Arguments
        and errors as there.
        """
        has_text, has_picture = text_BLH is not None, vision is not None
        if concat_text is None:
            concat_text = has_text and self.config.query_concat_output_from_text_encoder
        if concat_vision is None:
            concat_vision = has_picture and self.config.query_concat_output_from_vision_encoder
        rows = []
        if concat_text is not False:
            text_BLD = self._text_rows(input_ids_BL, text_BLH)  # [B, L, D]
            rows.append(_switched(text_BLD, concat_text))
        if concat_vision is not False:
            if vision is None:
                raise ValueError("concat_vision needs a picture: give pixel_values")
            seen = [self._prefix_rows("query", vision.pooled_BV)]  # [B, R P, D]
            if self.config.use_transformer_mapping_network:
                seen.append(self._patch_rows(input_ids_BL, text_BLH, vision))  # [B, N, D]
            rows.append(_switched(torch.cat(seen, dim=1), concat_vision))
        if not rows:
            raise ValueError("a query needs text rows, visual rows or both")
        return _normalised(torch.cat(rows, dim=1))  # [B, Q, D]

    def _text_rows(self, ids_BL: Tensor | None, text_BLH: Tensor | None) -> Tensor:
        """Return W text(question) [B, L, D], zero where a token does not count."""
        if text_BLH is None or ids_BL is None:
            raise ValueError("concat_text needs a question: give input_ids")
        rows_BLD: Tensor = self.query_text_encoder_linear(text_BLH)
        return rows_BLD * self.query_mask(ids_BL)[..., None]

    def _prefix_rows(self, side: Side, pooled: Tensor) -> Tensor:
        """Return the prefix MLP's rows [B, R P, D] of pooled vectors [B, V] or [B, R, V]."""
        rows: Tensor = self._module(side, "vision_projection")(pooled.flatten(0, -2))  # [B R, P, D]
        return rows.reshape(len(pooled), -1, self.config.dim)

    def _patch_rows(
        self, ids_BL: Tensor | None, text_BLH: Tensor | None, vision: VisionFeatures
    ) -> Tensor:
        """Return mapping(patches, question) [B, N, D]."""
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
        read_BL = all_ones_mask(ids_BL, self.config.query_mask_input_ids_skip_list)
        patches_BNM = self.transformer_mapping_input_linear(vision.patches_BNW)
        mapped_BNM = self.transformer_mapping_network(
            patches_BNM, text_BLH[:, :length], read_BL[:, :length]
        )
        return cast(Tensor, self.transformer_mapping_output_linear(mapped_BNM))  # [B, N, D]

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
        vision = self._vision("query", pixel_values, image_features)
        if image_features is not None and self.config.use_transformer_mapping_network:
            raise ValueError(
                "this checkpoint's mapping network reads patches: give pixel_values, "
                "not image_features"
            )
        text_BLH = None
        if input_ids is not None:
            text_BLH = self.query_text_encoder(input_ids, attention_mask)
        return cast(Tensor, self(input_ids, text_BLH, vision, concat_text, concat_vision))

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
        rows, masks = [], []
        vision = self._vision("context", pixel_values, image_features)
        if vision is not None:
            rows.append(_normalised(self._prefix_rows("context", vision.pooled_BV)))
            masks.append(rows[0].new_ones(rows[0].shape[:2], dtype=torch.bool))
        if input_ids is not None:
            text_BLH = self._module("context", "text_encoder")(input_ids, attention_mask)
            text_BLD, mask_BL = self.embed_passage(input_ids, text_BLH)
            rows.append(text_BLD)
            masks.append(mask_BL)
        if not rows:
            raise ValueError("a passage needs input_ids, pixel_values or both")
        return torch.cat(rows, dim=1), torch.cat(masks, dim=1)

    def embed_passage(self, input_ids_BL: Tensor, text_BLH: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit rows [B, L, D] and mask [B, L] from the text encoder's output."""
        mask_BL = self.passage_mask(input_ids_BL)
        rows_BLD = self._module("context", "text_encoder_linear")(text_BLH)
        return _normalised(rows_BLD * mask_BL[..., None]), mask_BL

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
                "the instruction cannot be masked: this model was built without a separator_id"
            )
        lacking = int((~(input_ids_BL == self.separator_id).any(1)).sum())
        if lacking:
            logger.warning(
                "%d of %d queries hold no separator %r, so that no instruction is masked: begin "
                "them with an instruction (retriever.inputs.tokenization.query_text)",
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
                "punctuation cannot be masked: this model was built without punctuation_ids"
            )
        return mask_BL & all_ones_mask(input_ids_BL, self.punctuation_ids)

    def _module(self, side: Side, name: str) -> nn.Module:
        """Return a module of queries or of passages; a shared one has the query's name."""
        kind = "text" if name.startswith("text") else "vision"
        if not getattr(self.config, f"separate_query_and_context_{kind}_encoder"):
            side = "query"
        return cast(nn.Module, getattr(self, f"{side}_{name}"))

    def _vision(
        self, side: Side, pixels: Tensor | None, pooled: Tensor | None
    ) -> VisionFeatures | None:
        """Return the features of [B, 3, H, W] or [B, R, 3, H, W], or those that are given.

        Of several regions the pooled vectors stay apart, [B, R, V].
        """
        if pixels is None and pooled is None:
            return None
        if pixels is not None and pooled is not None:
            raise ValueError("give pixel_values or image_features, not both")
        if not self.config.use_vision_encoder:
            raise ValueError("this checkpoint has no vision encoder: leave the picture out")
        if pixels is None:
            given = cast(Tensor, pooled)
            return VisionFeatures(given, given[:, :0])
        encoder = self._module(side, "vision_encoder")
        if pixels.dim() == 4:
            return cast(VisionFeatures, encoder(pixels))
        pooled_BV, patches_BNW = encoder(pixels.flatten(0, 1))  # of B R pictures
        B, R = pixels.shape[:2]
        return VisionFeatures(
            pooled_BV.reshape(B, R, -1), patches_BNW.reshape(B, -1, patches_BNW.shape[-1])
        )


def _vision_encoder(config: FLMRConfig) -> CLIPVisionEncoder | EfficientNetVisionEncoder:
    if config.vision_type == EFFICIENTNET:
        settings = {k: v for k, v in config.vision_config.items() if k != "model_type"}
        return EfficientNetVisionEncoder(**settings)
    return CLIPVisionEncoder(config.clip_vision_config())


def _normalised(rows: Tensor) -> Tensor:
    """Return rows of length 1; zero ones stay zero. In float32: a half has three digits."""
    return F.normalize(rows.float(), dim=-1)


def _switched(rows_BND: Tensor, flags: Flags) -> Tensor:
    """Return the rows, zeroed where a sample's flag is off."""
    if isinstance(flags, bool):
        return rows_BND
    if len(flags) != len(rows_BND):
        raise ValueError(f"{len(flags)} flags for {len(rows_BND)} queries")
    return rows_BND * torch.tensor(list(flags), device=rows_BND.device)[:, None, None]
