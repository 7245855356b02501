"""Choosing the next token: greedy, temperature, top-k, top-p, repetition penalty; a row's choice is its own.

Nothing here has state. The random number of a row at a step is a hash of the row's key and the step, so a row draws the
same tokens alone, in any company, after others have left the batch, and on every process of a parallel layout.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Sampling", "choose", "row_keys", "uniform"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen, and when a text ends.

    Attributes:
        max_tokens: New tokens at most, per prompt.
        temperature: What logits are divided by; 0 is greedy.
        top_k: Choose among the ``k`` likeliest tokens only.
        top_p: Choose among the fewest likeliest tokens that have this much probability together (nucleus sampling,
            Holtzman et al., 2020, arXiv:1904.09751); after ``top_k``.
        greedy: Always take the likeliest token.
        repetition_penalty: Divide positive and multiply negative logits of tokens that stand in prompt or answer
            already (Keskar et al., 2019, arXiv:1909.05858); 1 is none.
        stop: Texts that end an answer; what stands before them is kept.
        ignore_eos: Go on after the token that ends a text.
        seed: Of the random numbers; None draws one.

    Example:
        >>> Sampling(temperature=0).is_greedy
        True
        >>> Sampling(top_p=1.5)
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: top_p is 1.5
          give a number above 0 and up to 1
    """

    max_tokens: int = 128
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    greedy: bool = False
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}", hint="give a whole number from 1 on")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature is {self.temperature}", hint="give a number from 0 (greedy) on")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k}", hint="give a whole number from 1 on, or leave it out")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}", hint="give a number above 0 and up to 1")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ConfigError(
                f"repetition_penalty is {self.repetition_penalty}", hint="give a number above 0; 1 is none"
            )
        if any(not each for each in self.stop):
            raise ConfigError("a stop string is empty", hint="every text has it before its first letter; leave it out")

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.greedy or self.temperature == 0 or self.top_k == 1


def row_keys(prompts: Sequence[Sequence[int]], seed: int | None = None) -> list[bytes]:
    """Return the key of each row's random numbers.

    It is made of the seed, the prompt, and how many equal prompts stand before it: equal prompts get different answers,
    and none depends on which other prompts there are.

    Example:
        >>> first, second, again = row_keys([[1, 2], [3], [1, 2]], seed=0)
        >>> row_keys([[3]], seed=0) == [second], first != again
        (True, True)
    """
    seed = secrets.randbits(62) if seed is None else seed
    met: Counter[tuple[int, ...]] = Counter()
    keys = []
    for prompt in prompts:
        tokens = tuple(prompt)
        text = f"{seed}/{met[tokens]}/{','.join(map(str, tokens))}"
        keys.append(hashlib.blake2b(text.encode(), digest_size=16).digest())
        met[tokens] += 1
    return keys


def uniform(key: bytes, step: int) -> float:
    """Return the random number of a row at a step, in [0, 1).

    Example:
        >>> 0 <= uniform(b"row", 0) < 1, uniform(b"row", 0) == uniform(b"row", 1)
        (True, False)
    """
    digest = hashlib.blake2b(step.to_bytes(8, "little"), key=key, digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def choose(logits: Tensor, sampling: Sampling, draws: Sequence[float], seen: Tensor | None = None) -> Tensor:
    """Choose a token of each row.

    Args:
        logits: (B, V), of the model's type.
        sampling: How.
        draws: (B), a random number in [0, 1) of each row; not looked at if the choice is greedy.
        seen: (B, V) bool, tokens that stand in the row already; for the repetition penalty.

    Returns:
        (B) int64.

    Example:
        >>> import torch
        >>> logits = torch.log(torch.tensor([[0.1, 0.6, 0.3]]))
        >>> [int(choose(logits, Sampling(), [draw])) for draw in (0.05, 0.15, 0.95)]
        [0, 1, 2]
        >>> int(choose(logits, Sampling(top_p=0.6), [0.999]))
        1
    """
    import torch

    logits = logits.float()
    if seen is not None and sampling.repetition_penalty != 1:
        penalty = sampling.repetition_penalty
        logits = torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)
    if sampling.is_greedy:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits / sampling.temperature, -1)
    if sampling.top_k is not None or sampling.top_p is not None:
        probabilities = _likeliest(probabilities, sampling.top_k, sampling.top_p)
    mass = probabilities.double().cumsum(-1)
    total = mass[:, -1:]
    aims = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None] * total
    aims = torch.minimum(aims, torch.nextafter(total, torch.zeros_like(total)))  # rounding may have reached the total
    return torch.searchsorted(mass, aims, right=True).squeeze(-1)


def _likeliest(probabilities: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Return the probabilities (B, V) with zeros where a token is out; of equal ones, the first tokens are in."""
    import torch

    size = probabilities.shape[-1]
    width = min(top_k if top_k is not None else 64, size)
    while True:
        sorted_: Any = probabilities.topk(width, -1).values  # the values are the same however ties are broken
        if top_p is None:
            counts = torch.full_like(sorted_[:, :1], width, dtype=torch.long)
            break
        values = sorted_.double()
        if top_k is not None:
            values = values / values.sum(-1, keepdim=True)
        before = values.cumsum(-1) - values
        counts = (before < top_p).sum(-1, keepdim=True)
        if top_k is not None or width == size or bool((counts < width).all()):
            break
        width = min(8 * width, size)
    least = sorted_.gather(-1, counts - 1)
    more, equal = probabilities > least, probabilities == least
    inside = more | (equal & (equal.cumsum(-1) <= counts - more.sum(-1, keepdim=True)))
    return probabilities * inside
