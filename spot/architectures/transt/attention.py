"""Multi-head attention that returns no weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention`, batch first and without returned weights: same parameters, same function.

    Args:
        d_model: width of the tokens.
        heads: attention heads.
        dropout: of the attention weights, in training.
    """

    def __init__(self, d_model: int, heads: int, dropout: float) -> None:
        super().__init__(d_model, heads, dropout, batch_first=True)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        """Map (B, N, d_model) queries, (B, M, d_model) keys and values to (B, N, d_model)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.out_proj(attended.transpose(1, 2).flatten(2))
