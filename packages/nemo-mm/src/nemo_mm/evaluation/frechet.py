"""The Fréchet distance of two sets of images, by features of a network."""

from __future__ import annotations

import torch
from torch import Tensor

from nemo_core.errors import DataError

__all__ = ["frechet_distance"]


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the squared Fréchet distance of the normal distributions that fit two sets of features.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``, the FID of Heusel et al. (NeurIPS 2017) where the features are
    Inception's. Features of another network give distances of another scale, to be compared only with each other. The
    fewer images, the larger it comes out.

    Args:
        first: Features (N, D).
        second: Features (M, D).

    Raises:
        DataError: There are fewer than two images on a side, features differ in length, or one is not finite.

    Example:
        >>> one = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(one, one), 6), round(frechet_distance(one, one + 2), 3)
        (0.0, 16.0)
    """
    for name, features in (("first", first), ("second", second)):
        if features.ndim != 2 or len(features) < 2:
            raise DataError(
                f"Fréchet distance: the {name} set has features {tuple(features.shape)}", hint="(N, D), N > 1"
            )
        if not bool(features.isfinite().all()):
            raise DataError(f"Fréchet distance: the {name} set has features that are not finite")
    if first.shape[1] != second.shape[1]:
        raise DataError(f"Fréchet distance: features of {first.shape[1]} and of {second.shape[1]} numbers")
    a, b = first.double(), second.double()
    spread_a, spread_b = torch.atleast_2d(a.T.cov()), torch.atleast_2d(b.T.cov())
    # The eigenvalues of C1 C2 are those of C1^(1/2) C2 C1^(1/2), which is symmetric: they are found exactly.
    values, vectors = torch.linalg.eigh(spread_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ spread_b @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + spread_a.trace() + spread_b.trace() - 2 * shared
    return max(0.0, float(distance))
