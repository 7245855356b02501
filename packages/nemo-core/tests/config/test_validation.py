from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from nemo_core.config import Problem, Trust, compose, validate
from nemo_core.config.problems import raise_problems
from nemo_core.config.sources import point_at_lines
from nemo_core.errors import ConfigError
from nemo_core.plugins import hookimpl, plugin_manager

WHOLE = {
    "name": "x",
    "model": {"_target_": "studio.Encoder", "n_layers": 1},
    "data": {},
    "optim": {"name": "sgd", "lr": 1},
}


def problems(known, /, *, by=None, **sections):
    config = OmegaConf.create(WHOLE | sections)
    return {each.path: each for each in validate(config, by, registry=known.registry)}


def test_nothing_is_wrong_with_a_good_one(studio):
    assert problems(studio) == {}


def test_sections_of_a_recipes_own(studio):
    assert problems(studio, tokenizer={"size": 3}) == {}
    assert problems(studio, mode={"size": 3}) == {}  # near to model, but model is there
    assert problems(studio, experimnt={}, x="${experimnt}") == {}  # used, so it is meant
    assert set(problems(studio, experimnt={"verson": "a"})) == {"experimnt", "experimnt.verson"}


def test_required_sections(studio):
    config = OmegaConf.create({"trainer": {}})
    assert {each.path for each in validate(config, registry=studio.registry)} == {"name", "model", "data", "optim"}


@pytest.mark.parametrize("value", [3, "x", [1]])
def test_a_section_is_a_section(studio, value):
    assert set(problems(studio, trainer=value)) == {"trainer"}
    assert set(problems(studio, experiment={"ema": value})) == {"experiment.ema"}


def test_what_stands_behind_a_reference_is_reported_once(studio):
    found = problems(studio, part={"_target_": "studio.Encoder", "n_layer": 2}, model="${part}", also=["${part}"])
    assert set(found) == {"part.n_layer"}
    found = problems(studio, part={"_target_": "os.system"}, model="${part}", also=["${part}"])
    assert set(found) == {"part"}
    found = problems(studio, part="os.system", model={"_target_": "${part}"})
    assert set(found) == {"model"}


def test_arguments_by_position(studio):
    assert problems(studio, model={"_target_": "studio.Encoder", "_args_": [2]}) == {}
    assert set(problems(studio, model={"_target_": "studio.Encoder", "_args_": []})) == {"model.n_layers"}
    assert problems(studio, model={"_target_": "studio.Encoder", "_partial_": True}) == {}


def test_null_takes_away_what_another_optimizer_or_scheduler_took(studio):
    scheduler = {"name": "Warmup", "d_model": None}
    assert problems(studio, optim={"name": "sgd", "lr": 1, "betas": None, "scheduler": scheduler}) == {}
    wrong = {"name": "Warmup", "d_model": 4}
    assert set(problems(studio, optim={"name": "sgd", "lr": 1, "scheduler": wrong})) == {"optim.scheduler.d_model"}
    assert set(problems(studio, model={"_target_": "studio.Encoder", "n_layers": 1, "layers": None})) == {
        "model.layers"
    }


def test_keywords_that_are_handed_on(studio):
    assert problems(studio, model={"_target_": "studio.Wide", "factor": 2, "n_layers": 1, "dropout": 0.5}) == {}
    found = problems(studio, model={"_target_": "studio.Wide", "n_layers": 1, "droput": 0.5})
    assert found["model.droput"].hint == "did you mean dropout?"


def test_trust_that_is_given_counts(studio):
    node = {"_target_": "my_pkg.parts.Mine", "n_layers": 1}
    assert set(problems(studio, model=node)) == {"model"}
    assert problems(studio, model=node, trust=["my_pkg"]) == {}
    assert set(problems(studio, by=Trust.archive(), model=node, trust=["my_pkg"])) == {"model"}


def test_a_recipe_that_was_included_as_a_section(studio):
    found = problems(studio, studio={"model": {}, "trainer": {}})
    assert "@package _global_" in found["studio"].hint


def test_plugins_add_problems_of_their_own(studio):
    class Plugin:
        @hookimpl
        def nemo_config_problems(self, config):
            if config.seed == 13:
                yield Problem("seed", "brings bad luck", "take 12")

    plugin = Plugin()
    plugin_manager().register(plugin)
    try:
        compose("studio/tiny", registry=studio.registry)
        with pytest.raises(ConfigError, match=r"seed: brings bad luck; take 12"):
            compose("studio/tiny", ["seed=13"], registry=studio.registry)
    finally:
        plugin_manager().unregister(plugin)


def test_problems_are_listed_once_each():
    same = Problem("a", "is wrong")
    with pytest.raises(ConfigError) as raised:
        raise_problems([same, same, Problem("b", "too", where="x.yaml:3")], "it")
    assert raised.value.message == "it has 2 mistakes:\n  a: is wrong\n  x.yaml:3: b: too"
    raise_problems([], "it")


def test_lines(tmp_path):
    group = tmp_path / "parts"
    group.mkdir()
    (tmp_path / "main.yaml").write_text("defaults:\n  - base\n  - parts@x: one\n  - _self_\na:\n  b: [1, {c: 2}]\n")
    (tmp_path / "base.yaml").write_text("d:\n  e: 1\na: {z: 1}\n")
    (group / "one.yaml").write_text("f: 1\n")
    paths = ["a.b[1].c", "a.b[7]", "a.z", "d.e", "d.nothing", "f", "nowhere", "typed.on.the.line"]
    found = point_at_lines([Problem(path, "") for path in paths], tmp_path / "main.yaml", [tmp_path], ["typed"])
    shown = [each.where and each.where.removeprefix(f"{tmp_path}/") for each in found]
    assert shown == [
        "main.yaml:6",
        "main.yaml:6",
        "base.yaml:3",
        "base.yaml:2",
        "base.yaml:1",
        "parts/one.yaml:1",
        None,
        None,
    ]
