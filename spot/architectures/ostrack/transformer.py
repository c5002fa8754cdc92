"""Vision transformer over template and search tokens together, with candidate elimination (Ye et al., ECCV 2022).

Blocks, weights and names are timm's. Candidate elimination drops the search tokens to which the target's tokens pay
least attention, so that later blocks have fewer tokens to work on.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spot.architectures.hub import asking_hub
from spot.architectures.weight_files import read_file
from spot.runtime.errors import SpotError
from spot.runtime.extras import require


class JointViT(nn.Module):
    """A plain ViT from timm that reads template tokens and search tokens as one sequence.

    Args:
        model: name of a timm VisionTransformer, for example `vit_base_patch16_224.mae`.
        template_size, search_size: sides of the crops in pixels, multiples of the patch size.
        weights: `pretrained` (timm downloads those of the model's name once), `none`, or the path of a state dict
            (timm's, or MAE's file with the key `model`).
        drop_path: rate of stochastic depth in the last block; it grows linearly from 0 in the first one.
        eliminate_at: blocks (0-based) at which search tokens are dropped; empty for none.
        keep_ratio: fraction of the search tokens that each of them keeps.
        options: further arguments of timm's VisionTransformer (`embed_dim`, `depth`, `num_heads`), for small models
            without pretrained weights.

    Raises:
        SpotError: timm is missing, knows no such model or weights, or a crop is no multiple of the patch size.
    """

    needs = "timm"

    def __init__(
        self,
        model: str = "vit_base_patch16_224.mae",
        template_size: int = 128,
        search_size: int = 256,
        weights: str = "pretrained",
        drop_path: float = 0.1,
        eliminate_at: Sequence[int] = (3, 6, 9),
        keep_ratio: float = 0.7,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        vit = _timm_model(model, weights == "pretrained", drop_path, dict(options or {}))
        patch = vit.patch_embed.patch_size[0]
        for name, size in (("template_size", template_size), ("search_size", search_size)):
            if size % patch:
                raise SpotError(f"arch.network.{name}={size}: give a multiple of the patch size {patch} of {model}")
        if not 0 < keep_ratio <= 1:
            raise SpotError(f"arch.network.backbone.keep_ratio={keep_ratio}: give a number above 0, at most 1")
        self.channels, self.patch = vit.embed_dim, patch
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.eliminate_at, self.keep_ratio = tuple(eliminate_at), keep_ratio
        self.patch_embed, self.blocks, self.norm = vit.patch_embed, vit.blocks, vit.norm
        # kept for files that hold them; the joint sequence has no class token and positions of its own
        self.cls_token = nn.Parameter(vit.cls_token.detach(), requires_grad=False)
        self.pos_embed = nn.Parameter(vit.pos_embed.detach(), requires_grad=False)
        if weights not in ("pretrained", "none"):
            self._load(weights)
        self.pos_embed_z = nn.Parameter(resize_positions(self.pos_embed, self.template_grid))
        self.pos_embed_x = nn.Parameter(resize_positions(self.pos_embed, self.search_grid))

    def tokens(self, images: Tensor, positions: Tensor) -> Tensor:
        """Map (B, 3, H, W) normalised images and (1, N, C) positions to (B, N, C) tokens, row by row."""
        return self.patch_embed.proj(images).flatten(2).transpose(1, 2) + positions

    def encode_template(self, template: Tensor) -> Tensor:
        """Map (B, 3, template_size, template_size) to (B, Nz, C) tokens before the first block."""
        return self.tokens(template, self.pos_embed_z)

    def forward(
        self, template: Tensor, search: Tensor, voters: Tensor, keep_ratio: float | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Run the blocks on the joint sequence.

        Args:
            template: (B, Nz, C) tokens from `encode_template`.
            search: (B, 3, search_size, search_size) normalised images.
            voters: (B, Nz), 1 for template tokens whose attention decides which search tokens stay, 0 for others.
            keep_ratio: replaces the network's own ratio; 1 keeps all.

        Returns:
            (B, Nz + Nx, C) tokens after the last LayerNorm, at their original places, dropped ones 0; and for each
            elimination the (B, n) indices of the dropped search tokens, the most attended first.
        """
        ratio = self.keep_ratio if keep_ratio is None else keep_ratio
        split = template.shape[1]
        x = torch.cat([template, self.tokens(search, self.pos_embed_x)], dim=1)
        total = x.shape[1] - split
        places = torch.arange(total, device=x.device).expand(x.shape[0], -1)  # of the remaining search tokens
        dropped = []
        for number, block in enumerate(self.blocks):
            normed = block.norm1(x)
            x = x + block.drop_path1(block.ls1(block.attn(normed)))
            remaining = x.shape[1] - split
            keep = math.ceil(ratio * remaining) if number in self.eliminate_at else remaining
            if keep < remaining:
                attention = attention_from(block.attn, normed, voters, split)
                order = attention.argsort(dim=1, descending=True)
                dropped.append(places.gather(1, order[:, keep:]))
                places = places.gather(1, order[:, :keep])
                kept = order[:, :keep, None].expand(-1, -1, x.shape[2])
                x = torch.cat([x[:, :split], x[:, split:].gather(1, kept)], dim=1)
            x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
        x = self.norm(x)
        if dropped:
            at = places[:, :, None].expand(-1, -1, x.shape[2])
            restored = x.new_zeros(x.shape[0], total, x.shape[2]).scatter(1, at, x[:, split:])
            x = torch.cat([x[:, :split], restored], dim=1)
        return x, dropped

    def _load(self, path: str) -> None:
        """Take the weights of a file; heads that this network does not have are left out."""
        content = read_file(Path(path))
        state = content.get("model", content) if isinstance(content, dict) else {}
        own = self.state_dict()
        found = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
        if missing := own.keys() - found.keys():
            raise SpotError(f"{path} does not hold this ViT ({sorted(missing)[0]} is missing or of another shape)")
        self.load_state_dict(found)


def attention_from(attention: Any, normed: Tensor, voters: Tensor, split: int) -> Tensor:
    """Return the mean attention of the voting template tokens to each search token.

    Args:
        attention: timm's attention of a block.
        normed: (B, N, C) its input.
        voters: (B, split) of 0 and 1, at least one 1 a row.
        split: number of template tokens.

    Returns:
        (B, N - split), the mean over voters and heads of the softmax weights.
    """
    batch, count, channels = normed.shape
    heads = attention.num_heads
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query = F.linear(normed[:, :split], weight[:channels], bias[:channels])
    key = F.linear(normed, weight[channels : 2 * channels], bias[channels : 2 * channels])
    query = query.view(batch, split, heads, -1).transpose(1, 2)
    key = key.view(batch, count, heads, -1).transpose(1, 2)
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)[..., split:].mean(1)
    return (voters[:, None] @ weights).squeeze(1) / voters.sum(1, keepdim=True)


def resize_positions(pos_embed: Tensor, grid: int) -> Tensor:
    """Map a (1, 1 + n * n, C) position embedding, the class token first, to (1, grid * grid, C), bicubically."""
    side = math.isqrt(pos_embed.shape[1] - 1)
    maps = pos_embed[:, 1:].detach().transpose(1, 2).unflatten(2, (side, side))
    resized = F.interpolate(maps, size=(grid, grid), mode="bicubic", align_corners=False)
    return resized.flatten(2).transpose(1, 2)


def _timm_model(model: str, pretrained: bool, drop_path: float, options: dict[str, Any]) -> Any:
    require("timm", "timm", "JointViT")
    import timm

    try:
        with asking_hub(f"weights of {model}") if pretrained else contextlib.nullcontext():
            vit = timm.create_model(model, pretrained=pretrained, num_classes=0, drop_path_rate=drop_path, **options)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SpotError(f"arch.network.backbone.model={model}: {reason}; choose a VisionTransformer of timm") from None
    except Exception as error:  # the download: the hub's own errors have no common class
        raise SpotError(
            f"weights of {model} could not be downloaded ({type(error).__name__}); give arch.network.backbone.weights=FILE, "
            "or none to start from random weights"
        ) from error
    if not hasattr(vit, "cls_token") or vit.cls_token is None or not hasattr(vit, "blocks"):
        raise SpotError(f"arch.network.backbone.model={model}: choose a plain VisionTransformer with a class token")
    return vit
