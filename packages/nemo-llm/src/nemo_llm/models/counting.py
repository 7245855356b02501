"""Numbers of weights and of operations of a model, from its configuration alone."""

from __future__ import annotations

from nemo_llm.models.config import ModelConfig

__all__ = ["count_parameters", "flops_per_token"]


def count_parameters(config: ModelConfig, *, active: bool = False) -> int:
    """Return the number of weights of a model.

    Args:
        config: The model.
        active: Count only the experts that a token visits.

    >>> count_parameters(ModelConfig(vocab_size=100, hidden_size=8, num_layers=1, num_heads=2, ffn_size=16))
    2264
    """
    H, V = config.hidden_size, config.vocab_size
    norm = 2 * H if config.norm == "layer" else H
    total = V * H * (1 if config.tied_embeddings else 2) + norm
    if config.positions == "learned":
        total += config.max_length * H
    for layer in range(config.num_layers):
        total += norm * (4 if config.sandwich_norm else 2)
        total += _attention(config) + sum(_feed_forward(config, layer, active=active))
    return total


def _attention(config: ModelConfig) -> int:
    """Return the weights of an attention layer."""
    H, N = config.hidden_size, config.num_heads
    if config.latent is not None:
        latent = config.latent
        query = N * (latent.nope_dim + latent.rope_dim)
        total = H * query if latent.q_rank is None else H * latent.q_rank + latent.q_rank * (query + 1)
        total += H * (latent.kv_rank + latent.rope_dim) + latent.kv_rank
        total += latent.kv_rank * N * (latent.nope_dim + latent.value_dim)
        return total + N * latent.value_dim * H + (H if config.attention_bias else 0)
    D, K = config.head_size, config.kv_heads
    outputs = (N + 2 * K) * D
    total = H * outputs + N * D * H
    if config.qkv_bias or config.attention_bias:
        total += outputs
    if config.attention_bias:
        total += H
    if config.qk_norm:
        total += 2 * D * (2 if config.norm == "layer" else 1)
    return total


def _feed_forward(config: ModelConfig, layer: int, *, active: bool) -> tuple[int, int]:
    """Return the weights of the matrices of a feed-forward part, and its others."""
    H = config.hidden_size
    matrices = 3 if config.gated else 2
    experts = config.experts
    if experts is None or layer in experts.dense_layers:
        biases = (2 if config.gated else 1) * config.ffn_size + H if config.mlp_bias else 0
        return matrices * H * config.ffn_size, biases
    visited = experts.per_token if active else experts.count
    total = visited * matrices * H * experts.ffn_size + experts.count * H
    if experts.shared_ffn_size is not None:
        total += matrices * H * experts.shared_ffn_size
    return total, H if experts.shared_ffn_size is not None and experts.shared_gate else 0


def flops_per_token(config: ModelConfig, sequence_length: int) -> float:
    """Return the floating-point operations of training on one token: forwards once, backwards twice.

    Matrices count 2 operations per weight and token, attention what causal attention (or a window) needs on average
    over the sequence; norms, activations and recomputation are not counted, as is usual for model FLOPs utilisation
    (Chowdhery et al., 2022, arXiv:2204.02311, appendix B).

    >>> small = ModelConfig(vocab_size=65, hidden_size=64, num_layers=2, num_heads=4, ffn_size=128)
    >>> flops_per_token(small, 256)
    713856.0
    """
    H, D = config.hidden_size, config.head_size
    forward = 2.0 * config.vocab_size * H
    for layer in range(config.num_layers):
        if config.latent is not None:
            key, value = config.latent.nope_dim + config.latent.rope_dim, config.latent.value_dim
        else:
            key = value = D
        forward += 2.0 * (_matrices(config) + _feed_forward(config, layer, active=True)[0])
        seen = _seen(sequence_length, config.window_of(layer))
        forward += 2.0 * config.num_heads * (key + value) * seen
    return 3.0 * forward


def _matrices(config: ModelConfig) -> int:
    import dataclasses

    plain = dataclasses.replace(config, qkv_bias=False, attention_bias=False, qk_norm=False)
    norms = 0
    if config.latent is not None:
        norms = config.latent.kv_rank + (config.latent.q_rank or 0)
    return _attention(plain) - norms


def _seen(length: int, window: int | None) -> float:
    """Return how many keys a query sees on average."""
    if window is None or window >= length:
        return (length + 1) / 2
    return (window * (window + 1) / 2 + (length - window) * window) / length
