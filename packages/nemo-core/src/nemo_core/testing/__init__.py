"""What a plugin must live up to, as tests to inherit; and tools for testing and measuring.

In a plugin's own tests::

    from nemo_core.testing import PluginConformance

    class TestBirdsong(PluginConformance):
        plugin = "nemo-birdsong"

``nemo plugins check nemo-birdsong`` runs the same rules without pytest.
"""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CheckResult": ".rules",
        "PluginConformance": ".conformance",
        "check_module": ".modules",
        "check_plugin": ".rules",
        "write_distribution": ".distributions",
    },
)
