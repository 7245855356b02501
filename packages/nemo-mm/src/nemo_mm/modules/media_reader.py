"""What reads images or sounds for a language model: an encoder and a projector, as one typed module."""

from __future__ import annotations

from nemo_core.modules import NeuralModule

__all__ = ["MediaReader"]


class MediaReader(NeuralModule):
    """Base of modules that turn media into embeddings of a language model.

    ``forward`` takes the entries of a batch that its configuration names (``MultimodalConfig.entries``), each with the
    rows of the batch as first dimension, and returns

    - ``embeddings`` (N, H): those of all rows, one row of the batch behind the other, in the order in which their
      places stand in the text;
    - ``counts`` (B,) int64: how many of them each row has.

    Sub-modules are named by what they are (``encoder``, ``projector``): settings that freeze a part name them.
    """

    def hold_unused(self) -> None:
        """Take weights that no embedding depends on out of the training; called when the others are to be trained."""
