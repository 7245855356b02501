from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import ConformerEncoder
from nemo_asr.modules.local_attention import LocalAttention
from nemo_asr.modules.relative_attention import RelativeAttention, attention_mask, relative_positions, sinusoids
from nemo_core.errors import ConfigError


def make(d_model=8, heads=2, **options):
    torch.manual_seed(0)
    attention = LocalAttention(d_model, heads, **options).eval()
    torch.nn.init.normal_(attention.pos_bias_u)
    torch.nn.init.normal_(attention.pos_bias_v)
    return attention


def near_positions(left, right, d_model=8):
    return sinusoids(torch.arange(left, -right - 1, -1), d_model)


@settings(max_examples=60, deadline=None)
@given(frames=st.integers(1, 30), missing=st.integers(0, 10), left=st.integers(0, 7), right=st.integers(0, 7))
def test_without_global_tokens_it_is_relative_attention_under_a_mask(frames, missing, left, right):
    if left == right == 0:
        return
    local, whole = make(context=(left, right)), RelativeAttention(8, 2).eval()
    whole.load_state_dict(local.state_dict())
    x, length = torch.randn(2, frames, 8), torch.tensor([frames, max(frames - missing, 1)])
    mask, inside = attention_mask(length, frames, (left, right))
    with torch.no_grad():
        expected = whole(x, mask, inside, relative_positions(frames, 8))
        found = local(x, None, inside, near_positions(left, right))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(("count", "spacing"), [(1, 1), (2, 3), (9, 1)])
def test_global_tokens_attend_to_all_and_are_attended_to_by_all(separate, count, spacing):
    left, right, frames, length = 2, 1, 7, 6
    attention = make(
        context=(left, right), global_tokens=count, global_tokens_spacing=spacing, global_attn_separate=separate
    )
    x = torch.randn(1, frames, 8)
    heads = lambda layer: layer(x)[0].view(frames, 2, 4).transpose(0, 1)  # noqa: E731
    q, k, v = heads(attention.linear_q), heads(attention.linear_k), heads(attention.linear_v)
    gq, gk, gv = (
        (heads(attention.global_q), heads(attention.global_k), heads(attention.global_v)) if separate else (q, k, v)
    )
    tokens = [t for t in range(0, count * spacing, spacing) if t < length]
    out = torch.zeros(2, frames, 4)
    for h in range(2):
        for i in range(length):
            if i in tokens:
                weights = (gk[h, :length] @ gq[h, i] / math.sqrt(4)).softmax(0)
                out[h, i] = weights @ gv[h, :length]
                continue
            scores = [gq[h, i] @ gk[h, t] for t in tokens]
            values = [v[h, t] for t in tokens]
            for j in range(max(i - left, 0), min(i + right + 1, length)):
                p = attention.linear_pos(sinusoids(torch.tensor([i - j]), 8)).view(2, 4)[h]
                u, b = attention.pos_bias_u[h], attention.pos_bias_v[h]
                scores.append((q[h, i] + u) @ k[h, j] + (q[h, i] + b) @ p)
                values.append(v[h, j])
            out[h, i] = (torch.stack(scores) / math.sqrt(4)).softmax(0) @ torch.stack(values)
    expected = attention.linear_out(out.transpose(0, 1).flatten(1))[:length]
    inside = torch.arange(frames)[None] < length
    found = attention(x, None, inside, near_positions(left, right))[0, :length]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_encoder_with_whole_attention_can_be_made_local():
    torch.manual_seed(0)
    options = {"feat_in": 6, "n_layers": 2, "d_model": 8, "n_heads": 2, "conv_kernel_size": 5}
    whole = ConformerEncoder(**options, att_context_size=[3, 2]).eval()
    local = ConformerEncoder(**options, att_context_size=[3, 2], self_attention_model="rel_pos_local_attn").eval()
    local.load_state_dict(whole.state_dict())
    features, length = torch.randn(2, 6, 90), torch.tensor([90, 50])
    with torch.no_grad():
        torch.testing.assert_close(local(features, length), whole(features, length), rtol=1e-4, atol=1e-5)


def test_every_weight_learns():
    attention = make(context=(2, 2), global_tokens=1, global_attn_separate=True)
    attention(torch.randn(1, 9, 8), None, torch.ones(1, 9, dtype=torch.bool), near_positions(2, 2)).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in attention.parameters())


@pytest.mark.parametrize("options", [{"context": (0, 0)}, {"context": (-1, 4)}])
def test_a_reach_that_is_none(options):
    with pytest.raises(ConfigError, match="no reach"):
        make(**options)
    with pytest.raises(ConfigError, match="global_tokens"):
        make(context=(1, 1), global_tokens=-1)
