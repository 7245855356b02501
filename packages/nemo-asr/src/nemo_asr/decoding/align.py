"""From the frames of tokens to times."""

from __future__ import annotations

from collections.abc import Sequence

from nemo_asr.decoding.ctc_greedy import TokenPath
from nemo_asr.decoding.hypothesis import Alignment, Span

__all__ = ["align"]


def align(path: TokenPath, pieces: Sequence[str], stride: float, duration: float) -> Alignment:
    """Return when each token of ``path`` is said.

    Args:
        path: Tokens and their frames, of any decoding that has frames: CTC, RNN-T, TDT.
        pieces: The text of each token; joined they are the transcript.
        stride: Seconds from one frame to the next.
        duration: Seconds of the audio.

    Example:
        >>> alignment = align(TokenPath((7, 3), (0, 4), (2, 5), 0.0), ["n", "o"], stride=0.08, duration=0.37)
        >>> [(span.text, span.start, span.end) for span in alignment.tokens]
        [('n', 0.0, 0.16), ('o', 0.32, 0.37)]
    """
    # The last frame reaches past the end of the audio where that is no multiple of the stride.
    return Alignment(
        tuple(
            Span(piece, round(min(start * stride, duration), 4), round(min(end * stride, duration), 4))
            for piece, start, end in zip(pieces, path.starts, path.ends, strict=True)
        )
    )
