"""From log-probabilities to text."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.decoding.aed_beam import aed_beam_search as aed_beam_search
    from nemo_asr.decoding.aed_greedy import aed_greedy_search as aed_greedy_search
    from nemo_asr.decoding.align import align as align
    from nemo_asr.decoding.ctc_greedy import TokenPath as TokenPath
    from nemo_asr.decoding.ctc_greedy import ctc_greedy_search as ctc_greedy_search
    from nemo_asr.decoding.hypothesis import Alignment as Alignment
    from nemo_asr.decoding.hypothesis import Hypothesis as Hypothesis
    from nemo_asr.decoding.hypothesis import Span as Span
    from nemo_asr.decoding.transducer_greedy import TransducerGreedy as TransducerGreedy

__getattr__, __dir__ = attach(__name__)
