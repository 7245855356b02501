from __future__ import annotations

import pytest

from nemo_asr.losses.nvidia import transducer_loss_config
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (None, {"_target_": "asr.RNNTLoss"}),
        ({"loss_name": None}, {"_target_": "asr.RNNTLoss"}),
        (
            {"loss_name": "default", "warprnnt_numba_kwargs": {"fastemit_lambda": 0.01, "clamp": 1.0}},
            {"_target_": "asr.RNNTLoss", "fastemit_lambda": 0.01, "clamp": 1.0},
        ),
        ({"loss_name": "graph_rnnt", "graph_rnnt_kwargs": {"double_scores": True}}, {"_target_": "asr.RNNTLoss"}),
        (
            {"loss_name": "multiblank_rnnt", "multiblank_rnnt_kwargs": {"big_blank_durations": [2, 4], "sigma": 0.1}},
            {"_target_": "asr.MultiblankRNNTLoss", "big_blank_durations": [2, 4], "sigma": 0.1},
        ),
        (
            {
                "loss_name": "tdt",
                "tdt_kwargs": {"durations": [0, 1, 2], "sigma": 0.05, "omega": 0.1, "clamp": None},
                "warprnnt_numba_kwargs": {"clamp": 3.0},
            },
            {"_target_": "asr.TDTLoss", "durations": [0, 1, 2], "sigma": 0.05, "omega": 0.1},
        ),
    ],
)
def test_nvidias_sections_become_ours(section, expected):
    config = transducer_loss_config(section, blank=64, reduction="mean_volume")
    assert config == {"blank": 64, "reduction": "mean_volume"} | expected
    assert instantiate(config, trust=Trust.archive()).blank == 64


def test_a_loss_that_we_do_not_have_is_refused():
    with pytest.raises(ConfigError, match="graph_w_transducer"):
        transducer_loss_config({"loss_name": "graph_w_transducer"}, blank=64)
