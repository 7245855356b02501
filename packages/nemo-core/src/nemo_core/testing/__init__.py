"""What a plugin must live up to, as tests to inherit; and tools for testing and measuring.

In a plugin's own tests::

    from nemo_core.testing import PluginConformance

    class TestBirdsong(PluginConformance):
        plugin = "nemo-birdsong"

``nemo plugins check nemo-birdsong`` runs the same rules without pytest.
"""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.testing.conformance import PluginConformance as PluginConformance
    from nemo_core.testing.distributions import write_distribution as write_distribution
    from nemo_core.testing.modules import check_module as check_module
    from nemo_core.testing.peers import NVIDIA_NEMO as NVIDIA_NEMO
    from nemo_core.testing.peers import peer_environment as peer_environment
    from nemo_core.testing.preemption import Preempted as Preempted
    from nemo_core.testing.rules import CheckResult as CheckResult
    from nemo_core.testing.rules import check_plugin as check_plugin

__getattr__, __dir__ = attach(__name__)
