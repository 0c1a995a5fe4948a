"""FLMR and PreFLMR (arXiv 2402.08327): one model class for every checkpoint.

    query   = normalise([ W text(question) ; prefix MLP(pooled) ; mapping(patches, question) ])
    passage = normalise(  W' text(passage) )
    score   = maxsim(query, passage)

The state-dict names are the released ones. Where query and passage share a tower,
it exists once and keeps the `query_` name, as in the released files.

Shapes: B queries or passages, L text tokens, R regions of interest, H text width,
N patches, V pooled width, P prefix tokens, Q query tokens, D embedding dim.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertModel

from retriever.config import EFFICIENTNET, FLMRConfig
from retriever.mapping import MappingTransformer, PrefixMLP, all_ones_mask, init_weights
from retriever.vision import (
    CLIPVisionEncoder,
    EfficientNetVisionEncoder,
    VisionFeatures,
)

Flags = bool | Sequence[bool]


class TextEncoder(nn.Module):
    """BERT under the name released checkpoints give it. The pooler exists and is never used."""

    def __init__(self, config: FLMRConfig) -> None:
        super().__init__()
        self.bert_model = BertModel(config.bert_config())

    def forward(self, input_ids_BL: Tensor, attention_mask_BL: Tensor) -> Tensor:
        """Return the last hidden states [B, L, H]."""
        output = self.bert_model(input_ids=input_ids_BL, attention_mask=attention_mask_BL)
        return cast(Tensor, output.last_hidden_state)


class FLMRModel(nn.Module):
    """The retriever's model. Build it with `retriever.checkpoint.load_model`.

    Args:
        config: what the checkpoint's config.json says.
        separator_id: id of the token that ends the instruction, from the query
            tokenizer's vocabulary; None when the checkpoint masks no instruction.
        punctuation_ids: ids of passage tokens that are not scored.
    """

    def __init__(
        self,
        config: FLMRConfig,
        separator_id: int | None = None,
        punctuation_ids: Sequence[int] = (),
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

    def encode_query(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
        concat_text: Flags | None = None,
        concat_vision: Flags | None = None,
    ) -> Tensor:
        """Return query embeddings [B, Q, D]: unit rows, masked rows all zero.

        Args:
            input_ids: [B, L], from `QueryTokenizer`.
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
        input_ids_BL: Tensor,
        text_BLH: Tensor,
        vision: VisionFeatures | None,
        concat_text: Flags | None = None,
        concat_vision: Flags | None = None,
    ) -> Tensor:
        """Return query embeddings [B, Q, D] from the towers' outputs.

        Training on cached features starts here; `encode_query` runs the towers first.
        """
        if concat_text is None:
            concat_text = self.config.query_concat_output_from_text_encoder
        if concat_vision is None:
            concat_vision = (
                vision is not None and self.config.query_concat_output_from_vision_encoder
            )
        parts = []
        if concat_text is not False:
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
        return F.normalize(torch.cat(parts, dim=1), dim=-1)

    def encode_passage(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return passage embeddings [B, L, D] (unit rows) and which rows count, bool [B, L].

        Passages with pictures put their prefix tokens in front of the text; the mapping
        transformer is never used for passages.
        """
        shared_text = not self.config.separate_query_and_context_text_encoder
        encoder = self.query_text_encoder if shared_text else self.context_text_encoder
        text_BLH = encoder(input_ids, attention_mask)
        rows_BLD, mask_BL = self.embed_passage(input_ids, text_BLH)
        if pixel_values is None and image_features is None:
            return rows_BLD, mask_BL
        shared_vision = not self.config.separate_query_and_context_vision_encoder
        if image_features is None:
            tower = self.query_vision_encoder if shared_vision else self.context_vision_encoder
            image_features = self._see(tower, cast(Tensor, pixel_values)).pooled_BV
        project = self.query_vision_projection if shared_vision else self.context_vision_projection
        prefix_BPD = F.normalize(_project_regions(project, image_features), dim=-1)
        prefix_mask = torch.ones(prefix_BPD.shape[:2], dtype=torch.bool, device=mask_BL.device)
        return torch.cat([prefix_BPD, rows_BLD], 1), torch.cat([prefix_mask, mask_BL], 1)

    def embed_passage(self, input_ids_BL: Tensor, text_BLH: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit rows [B, L, D] and mask [B, L] from the text encoder's output."""
        shared = not self.config.separate_query_and_context_text_encoder
        linear = self.query_text_encoder_linear if shared else self.context_text_encoder_linear
        mask_BL = self.passage_mask(input_ids_BL)
        return F.normalize(linear(text_BLH) * mask_BL[..., None], dim=-1), mask_BL

    def query_mask(self, input_ids_BL: Tensor) -> Tensor:
        """Return which query text rows count, bool [B, L].

        [CLS], the marker, the question and the [MASK] padding count; the instruction
        does not: positions 2 up to and including the first separator. A query without
        a separator keeps everything, as in the reference.
        """
        keep_BL = input_ids_BL != 0
        skip = self.config.query_mask_input_ids_skip_list
        if skip:
            keep_BL &= all_ones_mask(input_ids_BL, skip)
        if self.separator_id is None:
            return keep_BL
        first_B1 = (input_ids_BL == self.separator_id).int().argmax(1, keepdim=True).clamp(min=1)
        position_L = torch.arange(input_ids_BL.shape[1], device=input_ids_BL.device)
        return keep_BL & ((position_L < 2) | (position_L > first_B1))

    def passage_mask(self, input_ids_BL: Tensor) -> Tensor:
        """Return which passage rows count, bool [B, L]: no padding, no punctuation."""
        mask_BL = input_ids_BL != 0
        if not self.config.mask_punctuation:
            return mask_BL
        return mask_BL & all_ones_mask(input_ids_BL, self.punctuation_ids)

    def _map_vision(self, ids_BL: Tensor, text_BLH: Tensor, vision: VisionFeatures) -> Tensor:
        """Return visual rows [B, R P (+ N), D], not yet normalised."""
        prefix_BPD = _project_regions(self.query_vision_projection, vision.pooled_BV)
        if not self.config.use_transformer_mapping_network:
            return prefix_BPD
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
