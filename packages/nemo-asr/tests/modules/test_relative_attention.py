from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.modules.relative_attention import (
    RelativeAttention,
    attend,
    attention_mask,
    relative_positions,
    shift_relative,
    sinusoids,
)
from nemo_core.errors import ConfigError


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_shifted_scores_are_those_of_the_distance(frames):
    scores = torch.randn(2, 3, frames, 2 * frames - 1)
    shifted = shift_relative(scores)
    for i in range(frames):
        for j in range(frames):
            assert torch.equal(shifted[:, :, i, j], scores[:, :, i, frames - 1 - (i - j)])


def test_attention_is_what_the_paper_says():
    torch.manual_seed(0)
    d_model, heads, frames = 8, 2, 5
    attention = RelativeAttention(d_model, heads).eval()
    torch.nn.init.normal_(attention.pos_bias_u)
    torch.nn.init.normal_(attention.pos_bias_v)
    x = torch.randn(1, frames, d_model)
    mask, inside = attention_mask(torch.tensor([frames]), frames)
    q, k, v = (
        layer(x).view(frames, heads, -1) for layer in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    out = torch.zeros(frames, heads, d_model // heads)
    for h in range(heads):
        for i in range(frames):
            scores = []
            for j in range(frames):
                p = attention.linear_pos(sinusoids(torch.tensor([i - j]), d_model)).view(heads, -1)[h]
                u, b = attention.pos_bias_u[h], attention.pos_bias_v[h]
                scores.append(((q[i, h] + u) @ k[j, h] + (q[i, h] + b) @ p) / math.sqrt(d_model / heads))
            out[i, h] = torch.stack(scores).softmax(0) @ v[:, h]
    expected = attention.linear_out(out.flatten(1))
    found = attention(x, mask, inside, relative_positions(frames, d_model))[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@given(
    length=st.integers(0, 12),
    left=st.integers(-1, 5),
    right=st.integers(-1, 5),
    chunked=st.booleans(),
    extra=st.just(2),
)
def test_who_may_attend_to_whom(length, left, right, chunked, extra):
    frames = length + extra
    mask, inside = attention_mask(torch.tensor([length]), frames, (left, right), chunked=chunked)
    allowed = (mask == 0).expand(1, 1, frames, frames)[0, 0]
    assert inside.tolist() == [[place < length for place in range(frames)]]
    for i in range(frames):
        for j in range(frames):
            if chunked and right >= 0:
                size = right + 1
                near = i // size - j // size >= 0 and (left < 0 or i // size - j // size <= left // size)
            else:
                near = (left < 0 or i - j <= left) and (chunked or right < 0 or j - i <= right)
            assert allowed[i, j] == (near and j < length)


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="10 cannot be divided among 4 heads"):
        RelativeAttention(10, 4)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("heads", [1, 3])
def test_attention_with_dropout_is_that_of_torch_on_average(rows, heads):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 8) for _ in range(3))
    bias = torch.randn(2, heads, rows, 5)
    expected = attend(query, key, value, bias)
    almost_none = attend(query, key, value, bias, 1.0 / (1 << 16))
    torch.testing.assert_close(almost_none, expected, rtol=1e-3, atol=1e-4)
    mean = torch.stack([attend(query, key, value, bias, 0.3) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.2)
