from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nemo_core.config import Problem, Trust, check, instantiate
from nemo_core.config.trust import Target
from nemo_core.errors import ConfigError, UntrustedTargetError
from nemo_core.plugins import Registry

BOTH = [Trust.user(), Trust.archive()]

DANGEROUS = [
    "os.system",
    "posix.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "subprocess.Popen",
    "functools.partial",
    "importlib.import_module",
    "pickle.loads",
    "torch.load",
    "torch:load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.nn.modules.os.system",
    "torch.nn.modules.module.torch.load",
    "torch.nn.modules.utils.collections.OrderedDict",
    "torch.nn.functional.relu",
    "torch.nn.Linear.__init__",
    "torch.nn.Linear.__init__.__globals__",
    "torch.nn.__builtins__.eval",
    "torch.nn.Parameter",
    "torch.nn.utils.rnn.pack_sequence",
    "torch.nnx.Linear",
    "torch.optim.swa_utils.update_bn",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.callback.torch.load",
    "pytorch_lightning.loggers.csv_logs.os.system",
    "hydra.utils.get_method",
    "hydra.utils.get_class",
    "hydra._internal.utils._locate",
    "omegaconf.OmegaConf.register_new_resolver",
    "canary.song.sing",
    "canary",
    "",
    " ",
    "os",
    ".system",
    "os..system",
    "../os.system",
    "${oc.env:HOME}",
    "torch.nn.Linear ",
    "torch .nn.Linear",
    "оs.system",  # a Cyrillic letter
]


@pytest.mark.parametrize(
    "trust", [Trust.user(), Trust.archive(), Trust.user(["my_pkg"])], ids=["user", "archive", "more"]
)
@pytest.mark.parametrize("target", DANGEROUS)
def test_dangerous_targets_are_refused(studio, target, trust):
    before = set(sys.modules)
    assert isinstance(trust.resolve(target, studio.registry), Problem)
    with pytest.raises(ConfigError):
        instantiate({"_target_": target}, trust=trust, registry=studio.registry)
    assert not {name for name in set(sys.modules) - before if name.startswith(("canary", "my_pkg", "torch"))}


@pytest.mark.parametrize("target", [None, 3, True, ["os.system"], {"_target_": "os.system"}, 1.5, b"os.system"])
def test_a_target_is_a_string(studio, target):
    assert isinstance(Trust.user().resolve(target, studio.registry), Problem)
    assert check({"_target_": target}, Trust.user(), registry=studio.registry)


@pytest.mark.parametrize(
    ("target", "defined"),
    [
        ("torch.nn.Linear", "torch.nn.modules.linear.Linear"),
        ("torch.nn:Conv1d", "torch.nn.modules.conv.Conv1d"),
        ("torch.nn.modules.rnn.LSTM", "torch.nn.modules.rnn.LSTM"),
        ("torch.optim.AdamW", "torch.optim.adamw.AdamW"),
        ("torch.optim.Adafactor", "torch.optim._adafactor.Adafactor"),
        ("torch.optim.lr_scheduler.OneCycleLR", "torch.optim.lr_scheduler.OneCycleLR"),
        ("pytorch_lightning.loggers.CSVLogger", "pytorch_lightning.loggers.csv_logs.CSVLogger"),
        ("lightning.pytorch.callbacks.EarlyStopping", "pytorch_lightning.callbacks.early_stopping.EarlyStopping"),
    ],
)
def test_the_allow_list_follows_exports_to_the_class(target, defined):
    found = Trust.user().resolve(target, Registry())
    assert isinstance(found, Target)
    assert found.definition.path == defined
    assert f"{found.load().__qualname__}" == defined.rpartition(".")[2]


def test_an_archive_names_no_loggers_or_callbacks():
    for target in ("pytorch_lightning.loggers.CSVLogger", "pytorch_lightning.callbacks.ModelCheckpoint"):
        assert isinstance(Trust.archive().resolve(target, Registry()), Problem)


@pytest.mark.parametrize(
    "target", ["studio.Encoder", "elsewhere.OldEncoder", "studio.parts.Encoder", "studio.parts:Encoder"]
)
@pytest.mark.parametrize("trust", BOTH, ids=["user", "archive"])
def test_registered_components_go_by_name_alias_and_path(studio, target, trust):
    built = instantiate({"_target_": target, "n_layers": 3}, trust=trust, registry=studio.registry)
    assert (type(built).__name__, built.n_layers) == ("Encoder", 3)


def test_a_package_that_a_person_trusts(studio):
    node = {"_target_": "my_pkg.parts.Mine", "n_layers": 1}
    with pytest.raises(UntrustedTargetError, match=r"trust=\[my_pkg\]"):
        instantiate(node, trust=Trust.user(), registry=studio.registry)
    trust = Trust.user(["my_pkg"])
    assert type(instantiate(node, trust=trust, registry=studio.registry)).__name__ == "Mine"
    assert instantiate(node | {"_target_": "my_pkg.parts.make"}, trust=trust, registry=studio.registry).n_layers == 1


@pytest.mark.parametrize(
    "target",
    ["my_pkg2.Thing", "my_pkg.parts.system", "my_pkg.parts.os.system", "my_pkgs", "my_pk.x", "my_pkg.nothing.at_all"],
)
def test_trust_ends_at_the_border_of_the_package(studio, target):
    with pytest.raises(ConfigError):
        instantiate({"_target_": target}, trust=Trust.user(["my_pkg"]), registry=studio.registry)
    assert "my_pkg2" not in sys.modules


@pytest.mark.parametrize("package", ["os", "builtins", "subprocess", "importlib.util", "", "a b", "a..b", 3])
def test_not_everything_can_be_trusted(package):
    with pytest.raises(ConfigError, match="trust"):
        Trust.user([package])


HIDING_PLACES = {
    "nested in a list": lambda bad: {"a": [1, [bad]]},
    "in _args_": lambda bad: {"_target_": "torch.nn.Sequential", "_args_": [bad]},
    "in an argument": lambda bad: {"_target_": "torch.nn.Sequential", "x": {"y": bad}},
    "as a partial": lambda bad: bad | {"_partial_": True},
    "beside a good one": lambda bad: [{"_target_": "torch.nn.ReLU"}, bad],
    "under a special key": lambda bad: {"_target_": "torch.nn.ReLU", "_convert_": bad},
}


@pytest.mark.parametrize("hide", HIDING_PLACES.values(), ids=HIDING_PLACES)
@pytest.mark.parametrize("wrap", [lambda tree: tree, OmegaConf.create], ids=["plain", "OmegaConf"])
@pytest.mark.parametrize("trust", BOTH, ids=["user", "archive"])
def test_a_bad_target_is_found_wherever_it_hides(studio, hide, wrap, trust):
    tree = wrap(hide({"_target_": "canary.song.sing"}))
    assert any("canary" in problem.message for problem in check(tree, trust, registry=studio.registry))
    with pytest.raises(UntrustedTargetError, match="canary"):
        instantiate(tree, trust=trust, registry=studio.registry)
    assert "canary" not in sys.modules


@pytest.mark.parametrize("trust", BOTH, ids=["user", "archive"])
def test_a_bad_target_is_found_behind_interpolations(studio, trust):
    config = OmegaConf.create(
        {
            "a": "canary.song",
            "b": "${a}.sing",
            "direct": {"_target_": "${b}"},
            "node": "${direct}",
            "deep": [{"x": "${node}"}],
        }
    )
    for node in (config.direct, config.deep, config):
        with pytest.raises(UntrustedTargetError, match=r"canary\.song\.sing"):
            instantiate(node, trust=trust, registry=studio.registry)


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "x ${oc.decode:'1'}",
        "${ oc.env : HOME}",
        "${${a}:HOME}",
        "${oc.create:{a: 1}}",
        "${my:}",
        "${oc.${b}:HOME}",
    ],
)
def test_an_archive_calls_no_resolvers(studio, text):
    config = OmegaConf.create({"a": "oc.env", "b": "env", "model": {"x": text}})
    problems = check(config.model, Trust.archive(), registry=studio.registry)
    assert problems
    assert "resolver" in problems[0].message


def test_an_archive_may_refer_to_its_own_values(studio):
    config = OmegaConf.create({"rate": 16000, "model": {"rate": "${rate}", "text": "${.rate} Hz: fine"}})
    assert check(config.model, Trust.archive(), registry=studio.registry) == []


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ({"_target_": "torch.nn.ReLU", "_partial_": True}, "_partial_"),
        ({"_target_": "torch.nn.ReLU", "_recursive_": False}, "_recursive_"),
        ({"_target_": "torch.nn.ReLU", "_convert_": "all"}, "_convert_"),
        ({"_call_": "os.system", "command": "x"}, "_call_"),
        ({"_target_": "torch.nn.ReLU", "_args_": "x"}, "_args_"),
        ({"_args_": [1]}, "_args_"),
        ({"cls": "os.system", "params": {}}, "cls"),
        ({"target": "os.system", "params": {"command": "x"}}, "target"),
    ],
)
def test_other_ways_to_name_code_are_refused(studio, node, path):
    problems = check({"model": node}, Trust.archive(), registry=studio.registry)
    assert [problem.path for problem in problems] == [f"model.{path}"]


def test_nothing_is_built_when_anything_is_refused(studio):
    tree = [{"_target_": "studio.Encoder", "n_layers": "would fail"}, {"_target_": "os.system", "command": "true"}]
    with pytest.raises(UntrustedTargetError, match="1 mistake"):
        instantiate(tree, trust=Trust.user(), registry=studio.registry)


def test_endless_nesting_ends():
    tree: list[object] = []
    tree.append(tree)
    assert "deep" in check(tree, Trust.archive(), registry=Registry())[0].message


PARTS = st.sampled_from(
    ["os", "system", "torch", "nn", "optim", "modules", "load", "eval", "builtins", "__init__", "sys"]
)
NAMES = st.lists(PARTS | st.from_regex(r"[a-zA-Z_]{1,6}", fullmatch=True), min_size=1, max_size=5).map(".".join)


@given(target=NAMES | st.text(max_size=20), trust=st.sampled_from(BOTH))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_names_are_never_imported(target, trust):
    before = set(sys.modules)
    found = trust.resolve(target, Registry())
    assert set(sys.modules) == before
    assert isinstance(found, Problem) or found.definition.path.startswith(("torch.nn.", "torch.optim."))


@given(
    module=st.from_regex(r"canary(\.(log|song|[a-z]{1,4})){0,3}\.[a-zA-Z]{1,5}", fullmatch=True),
    depth=st.integers(0, 4),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_canary_is_never_imported(studio, module, depth):
    tree: object = {"_target_": module}
    for level in range(depth):
        tree = [tree] if level % 2 else {"x": tree}
    with pytest.raises(UntrustedTargetError):
        instantiate(tree, trust=Trust.user(["my_pkg"]), registry=studio.registry)
    assert "canary" not in sys.modules
