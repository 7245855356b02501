"""From log-probabilities to text."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Alignment": ".hypothesis",
        "Hypothesis": ".hypothesis",
        "Span": ".hypothesis",
        "TokenPath": ".ctc_greedy",
        "ctc_greedy_search": ".ctc_greedy",
    },
)
