"""What reads images or sounds for a language model: an encoder and a projector, as one typed module."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from nemo_core.modules import NeuralModule

__all__ = ["MediaReader"]


class MediaReader(NeuralModule):
    """Base of modules that turn media into embeddings of a language model.

    ``forward`` takes the entries of a batch that its configuration names (``MultimodalConfig.entries``), each with the
    rows of the batch as first dimension, and returns

    - ``embeddings`` (N, H): those of all rows, one row of the batch behind the other, in the order in which their
      places stand in the text;
    - ``counts`` (B,) int64: how many of them each row has.

    A reader may have a loss of its own, a sum over what it is given, brought along by the gradients of the embeddings
    (:func:`~nemo_mm.modules.ctc.with_loss`). It multiplies it by :meth:`loss_share`.

    Sub-modules are named by what they are (``encoder``, ``projector``): settings that freeze a part name them.
    """

    share: Callable[[], float | Tensor] | None = None

    def loss_share(self) -> float | Tensor:
        """Return what a loss of its own is multiplied by, for its gradients to count as those of the answers do.

        Those are of a sum over all tokens, which is divided by their number in the end. Who builds the model sets
        ``share``, which knows how many processes compute the same, and how low precision scales losses.
        """
        return 1.0 if self.share is None else self.share()

    def hold_unused(self) -> None:
        """Take weights that no embedding depends on out of the training; called when the others are to be trained."""
