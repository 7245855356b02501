from __future__ import annotations

import contextlib
import inspect
import os
import subprocess
import sys
import threading
from textwrap import dedent

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nemo_core.config import compose, instantiate, list_recipes, section, trust_of
from nemo_core.config.schema import ExperimentConfig, TrainerConfig
from nemo_core.errors import ConfigError


def mistakes(studio, overrides, recipe="studio/tiny", **options):
    with pytest.raises(ConfigError) as raised:
        compose(recipe, overrides, registry=studio.registry, **options)
    heading, *lines = raised.value.message.splitlines()
    assert "mistake" in heading
    return [line.strip() for line in lines]


def test_sections_get_their_defaults_and_keep_what_is_their_own(studio):
    config = compose("studio/tiny", registry=studio.registry)
    assert list(config)[:6] == ["name", "recipe", "model", "data", "optim", "trainer"]
    assert config.trainer.max_steps == TrainerConfig().max_steps
    assert config.alphabet == ["a", "b"]
    assert section(ExperimentConfig, config.experiment) == ExperimentConfig()
    assert "hydra" not in config


def test_what_is_composed_can_be_built(studio):
    config = compose("studio/tiny", ["model.encoder.n_layers=5"], registry=studio.registry)
    model = instantiate(config.model, trust=trust_of(config), registry=studio.registry)
    assert (model.encoder.n_layers, model.decoder.vocabulary) == (5, ["a", "b"])


def test_plugins_that_a_recipe_needs_are_named_where_they_are_missing(studio, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [studio/tiny, _self_]\nrecipe: {needs: [nemo-core, nemo-nowhere]}\n")
    with pytest.raises(ConfigError, match=r"mine needs nemo-nowhere, not installed here") as raised:
        compose(str(path), registry=studio.registry)
    assert raised.value.hint == "pip install nemo-nowhere"
    assert compose(str(path), ["recipe.needs=[nemo-core]"], registry=studio.registry).recipe.needs == ["nemo-core"]


def test_all_mistakes_of_the_command_line_at_once(studio):
    assert mistakes(studio, ["modl.encoder.n_layer=4", "trainer.max_epoch=x"]) == [
        "modl: a recipe has no modl; did you mean model?",
        "model.encoder.n_layer: studio.Encoder has no n_layer; did you mean n_layers?",
        "trainer.max_epoch: trainer has no max_epoch; did you mean max_epochs, min_epochs or max_steps? "
        "(max_epochs must be int or null, not 'x')",
    ]


def test_suggestions_in_a_file_include_what_has_a_default(studio, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [studio/tiny, _self_]\ntrainer: {max_epoch: 1}\nexperiment: {resum: never}\n")
    lines = mistakes(studio, [], recipe=str(path))
    assert ["did you mean max_epochs" in lines[0], "did you mean resume?" in lines[1]] == [True, True]


def test_numbers_are_taken_where_a_section_wants_text(studio):
    config = compose("studio/tiny", ["experiment.version=3", "trainer.precision=16"], registry=studio.registry)
    assert (config.experiment.version, config.trainer.precision) == ("3", "16")
    assert section(ExperimentConfig, {"version": 3, "keep": None}).version == "3"
    assert mistakes(studio, ["experiment.version=true"]) == ["experiment.version: must be str or null, not True"]


def test_what_lightning_calls_otherwise_is_pointed_at(studio, tmp_path):
    told = "it is experiment.max_time"
    assert mistakes(studio, ["trainer.max_time=1"]) == [f"trainer.max_time: trainer has no max_time; {told}"]
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [studio/tiny, _self_]\ntrainer: {max_time: 1}\n")
    (line,) = mistakes(studio, [], recipe=str(path))
    assert line.endswith(told)


def test_every_parameter_of_lightnings_trainer_is_known_or_pointed_at():
    from pytorch_lightning import Trainer

    known = {*section(TrainerConfig, {}).__dict__, *TrainerConfig.elsewhere}
    ours = {"plugins", "reload_dataloaders_every_n_epochs", "enable_autolog_hparams"}  # set by us, or of no use
    assert set(inspect.signature(Trainer).parameters) - known == ours


def test_mistakes_of_the_recipe_are_shown_with_file_and_line(studio, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        dedent("""
        defaults: [studio/tiny, _self_]
        model:
          encoder: {n_layers: many, widht: 3}
          decoder: {_target_: os.system}
        trainr: {devises: 2}
        optim:
          lr: ${lr}
          scheduler: {name: Warmpu}
        data:
          train: 3
        """)
    )
    lines = mistakes(studio, ["seed=x"], path)
    assert {line.removeprefix(f"{path}:") for line in lines} == {
        "4: model.encoder.n_layers: must be int, not 'many'",
        "4: model.encoder.widht: studio.Encoder takes no widht; did you mean width?",
        "5: model.decoder: _target_ os.system is not trusted; name a registered component (nemo plugins list shows "
        "them) or register your own in a plugin",
        "6: trainr: no section of a recipe is called so; did you mean trainer?",
        "6: trainr.devises: trainr takes no devises; did you mean devices?",
        "8: optim.lr: ${lr} cannot be resolved: Interpolation key 'lr' not found",
        "9: optim.scheduler.name: no scheduler is called Warmpu; did you mean Warmup?",
        "11: data.train: must be str, not 3",
        "seed: must be int, not 'x'",
    }


def test_a_line_in_an_included_recipe_is_found(studio):
    lines = mistakes(studio, ["model.decoder._target_=studio.Encoder"])
    assert all("tiny.yaml:" not in line for line in lines if "decoder._target_" in line)
    path = studio.folder / "studio/conf/studio/tiny.yaml"
    assert f"{path}:13: model.decoder.vocabulary: studio.Encoder takes no vocabulary; known: " in "\n".join(lines)


def test_a_missing_value_and_a_missing_argument(studio):
    assert mistakes(studio, [], "studio/needs_data") == [
        f"{studio.folder}/studio/conf/studio/needs_data.yaml:7: data.train: is not given; set it: data.train=..."
    ]
    assert compose("studio/needs_data", ["data.train=x"], registry=studio.registry).data.train == "x"
    assert mistakes(studio, ["~model.encoder.n_layers"]) == [
        "model.encoder.n_layers: studio.Encoder needs it, and it is not given"
    ]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("model.encoder.dropout=0.3", "model.encoder.dropout", 0.3),  # the constructor knows it, the recipe does not
        ("trainer.max_epochs=3", "trainer.max_epochs", 3),
        ("experiment.ema.decay=0.9", "experiment.ema.decay", 0.9),
        ("optim.momentum=0.9", "optim.momentum", 0.9),
        ("optim.scheduler.max_steps=9", "optim.scheduler.max_steps", 9),
        ("+mine.own=1", "mine.own", 1),
        ("++seed=4", "seed", 4),
        ("+trainer.max_steps=4", "trainer.max_steps", 4),
        ("model.encoder.strides=[1,2]", "model.encoder.strides", [1, 2]),
        ("data.splits={a: 0.5}", "data.splits.a", 0.5),
        ("model.encoder.kind='attention'", "model.encoder.kind", "attention"),
        ("data.train='a b=c.jsonl'", "data.train", "a b=c.jsonl"),
        ("model.name=${name}", "model.name", "tiny"),
        ("model.decoder=null", "model.decoder", None),
        ("alphabet.1=c", "alphabet", ["a", "c"]),
    ],
)
def test_overrides(studio, override, path, value):
    config = compose("studio/tiny", [override], registry=studio.registry)
    assert OmegaConf.select(config, path) == value


def test_deletion_and_groups(studio):
    assert "scheduler" in compose("studio/tiny", registry=studio.registry).optim
    config = compose("studio/tiny", ["~optim.scheduler"], registry=studio.registry)
    assert config.optim.scheduler is None  # the default
    assert compose("studio/sized", registry=studio.registry).model.encoder.n_layers == 1
    config = compose("studio/sized", ["studio/size@size=big"], registry=studio.registry)
    assert config.model.encoder.n_layers == 20
    with pytest.raises(ConfigError, match="Did you mean to override studio/size@size"):
        compose("studio/sized", ["studio/size=big"], registry=studio.registry)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optim.lr", "optim.lr: is no override: missing EQUAL at '<EOF>'; write key=value"),
        ("a=[", "a=[: is no override"),
        ("mine=1", "mine: a recipe has no mine; known: alphabet, data, experiment, "),
        ("mine=1", "to add it, write +mine=1"),
        ("+trainer.mine=1", "trainer.mine: trainer has no mine"),
        ("~seeed", "seeed: a recipe has no seeed; did you mean seed?"),
        ("~model.encoder.dropout", "model.encoder.dropout: is not there to be deleted"),
        ("seed=1,2", "seed: is given several values; add --multirun"),
        ("model.encoder.kind=convolution", "must be 'conv', 'attention', not 'convolution'"),
        ("model.encoder.bias=1", "must be bool, not 1"),
        ("model.encoder.strides=[1,x]", "must be list[int] or null"),
        ("optim.name=sgdd", "optim.name: no optimizer is called sgdd; did you mean sgd?"),
        ("optim.momentm=0.9", "optim.momentm: optimizer sgd has no momentm; did you mean momentum?"),
        ("trust=[os]", "trust: os is part of Python itself"),
        ("trust=[my_pkg,3]", "trust: "),
        ("trainer=3", "trainer: is a section with keys of its own, not 3"),
        ("model._target_=my_pkg.parts.Mine", "add trust=[my_pkg]"),
        ("trainer.callbacks=[{_target_: os.system}]", "trainer.callbacks[0]: _target_ os.system"),
        ("experiment={ema: {dekay: 1}}", "experiment.ema.dekay"),
        ("alphabet.7=c", "alphabet has no 7"),
        ("+alphabet.7=c", "alphabet"),
        ("+alphabet.x=c", "alphabet"),
        ("model.name.x=c", "model.name has no x"),
        ("model=${nothing}", "model: ${nothing} cannot be resolved"),
        ("optim.lr=${optim.lr}", "optim.lr"),
        ("data.train=[a", "is no override"),
        ("=1", "is no override"),
        ("", "is no override"),
    ],
)
def test_bad_overrides(studio, override, words):
    assert words in "\n".join(mistakes(studio, [override]))


def test_trust_given_on_the_command_line_counts_for_what_follows(studio):
    overrides = ["model.encoder._target_=my_pkg.parts.Mine", "model.encoder.width=8", "trust=[my_pkg]"]
    config = compose("studio/tiny", overrides, registry=studio.registry)
    model = instantiate(config.model, trust=trust_of(config), registry=studio.registry)
    assert (type(model.encoder).__name__, model.encoder.width) == ("Mine", 8)
    lines = mistakes(studio, ["model.encoder.widht=8", *overrides])
    assert lines == ["model.encoder.widht: my_pkg.parts.Mine has no widht; did you mean width?"]


def test_a_new_target_brings_its_own_keys(studio):
    overrides = ["model.encoder.factor=3", "model.encoder._target_=studio.Wide"]
    config = compose("studio/tiny", overrides, registry=studio.registry)
    assert config.model.encoder == {"_target_": "studio.Wide", "n_layers": 2, "factor": 3}


def test_a_recipe_of_the_persons_own(studio, tmp_path, monkeypatch):
    folder = tmp_path / "with blank, comma and 'quote'"
    folder.mkdir()
    (folder / "mine.yaml").write_text("defaults: [studio/tiny, _self_]\nmodel: {encoder: {n_layers: 7}}\n")
    (folder / "nameless.yaml").write_text("model: {_target_: torch.nn.Identity}\ndata: {}\noptim: {name: sgd, lr: 1}\n")
    monkeypatch.chdir(folder)
    for recipe in ("./mine.yaml", "mine.yaml", folder / "mine.yaml"):
        config = compose(recipe, ["model.encoder.width=2"], registry=studio.registry)
        assert (config.name, config.model.encoder.n_layers, config.model.encoder.width) == ("tiny", 7, 2)
    assert compose("nameless.yaml", registry=studio.registry).name == "nameless"
    monkeypatch.chdir("/")
    assert compose("mine", config_dirs=[folder], registry=studio.registry).model.encoder.n_layers == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("studio/tinny", "did you mean studio/tiny or"),
        ("tiny.yaml", "there is no file tiny.yaml"),
        ("studio/size/big/deep", "no recipe is called"),
        ("", "no recipe is called"),
    ],
)
def test_unknown_recipes(studio, name, words):
    with pytest.raises(ConfigError) as raised:
        compose(name, registry=studio.registry)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2", "mine.yaml:2: not YAML"),
        ("- 1\n- 2", "mine"),
        ("just text", "mine"),
        ("defaults: [nothing/here, _self_]", "nothing/here"),
        ("defaults: [/nemo/base, _self_]\na: ${b", "mine"),
        ("\x00", "mine"),
        ("a: &x [*x]", "mine"),
    ],
)
def test_files_that_are_no_recipes(studio, tmp_path, text, words):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        compose(path, registry=studio.registry)
    assert words in str(raised.value)


def test_a_file_that_is_not_text(studio, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe\xfa")
    with pytest.raises(ConfigError, match="mine"):
        compose(path, registry=studio.registry)


def test_list_recipes(studio):
    found = {recipe.name: recipe for recipe in list_recipes(registry=studio.registry)}
    assert set(found) == {"studio/tiny", "studio/needs_data", "studio/sized"}
    tiny = found["studio/tiny"]
    assert (tiny.package, tiny.summary) == ("studio.conf", "A tiny model")
    assert tiny.metadata == {"data": "none", "size": "1 kB"}


def test_hydra_is_left_as_it_was(studio, tmp_path):
    (tmp_path / "outer.yaml").write_text("x: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        compose("studio/tiny", registry=studio.registry)
        assert hydra_compose("outer") == {"x": 1}
    assert not GlobalHydra().is_initialized()
    with pytest.raises(ConfigError):
        compose("studio/tiny", ["studio/size=none"], registry=studio.registry)
    assert not GlobalHydra().is_initialized()


def test_composing_in_threads(studio):
    results = []

    def work(seed):
        results.append(compose("studio/tiny", [f"seed={seed}"], registry=studio.registry).seed == seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 6


def test_composing_imports_neither_torch_nor_the_components(studio):
    code = """
        import sys
        from nemo_core.config import compose, instantiate
        from nemo_core.plugins import Registry
        registry = Registry()
        registry.recipes("studio.conf", prefix="studio")
        registry.optimizer("sgd", "studio.parts:SGD")
        registry.scheduler("Warmup", "studio.parts:Warmup")
        for name in ("Model", "Encoder", "Decoder", "Data"):
            registry.module(f"studio.{name}", f"studio.parts:{name}")
        overrides = ["model.encoder.width=3", "+extra={_target_: torch.nn.Linear, in_features: 1, out_features: 2}"]
        config = compose("studio/tiny", overrides, registry=registry)
        assert config.model.encoder.width == 3
        loaded = {"torch", "pytorch_lightning", "studio"} & set(sys.modules)
        assert not loaded, loaded
    """
    environment = os.environ | {"PYTHONPATH": str(studio.folder)}
    subprocess.run([sys.executable, "-c", dedent(code)], check=True, env=environment)


KEYS = [
    "trainer.max_epochs",
    "trainer.accumulate_grad_batches",
    "experiment.checkpoint.every_n_steps",
    "experiment.early_stopping.patience",
    "optim.scheduler.warmup_steps",
    "optim.momentum",
    "model.encoder.n_layers",
    "model.encoder.dropout",
    "data.batch_size",
]


@given(key=st.sampled_from(KEYS), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_typo_is_always_reported_with_the_right_key(studio, key, data):
    parts = key.split(".")
    spot = data.draw(st.integers(0, len(parts) - 1), label="which part")
    word = parts[spot]
    index = data.draw(st.integers(0, len(word) - 1), label="where")
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz_"), label="letter")
    typo = data.draw(
        st.sampled_from([word[:index] + word[index + 1 :], word[:index] + letter + word[index:], word + letter])
    )
    assume(typo not in (word, "") and typo.isidentifier())
    wrong = ".".join([*parts[:spot], typo, *parts[spot + 1 :]])
    lines = mistakes(studio, [f"{wrong}=1"])
    assert lines[0].startswith(f"{'.'.join([*parts[:spot], typo])}: ")
    assert word in lines[0].partition("did you mean ")[2]


PATHS = st.sampled_from([*KEYS, "model", "trainer", "alphabet", "alphabet.0", "hydra.run.dir", "trust", "x", "a/b", ""])
TEXTS = st.sampled_from(["1", "null", "[1,2]", "{a: 1}", "{_target_: os.system}", "${name}", "${", "a,b", "'q'", "\\"])
ANY = st.builds(
    "{}{}={}".format, st.sampled_from(["", "+", "++", "~"]), PATHS | st.text(max_size=6), TEXTS | st.text(max_size=6)
)


@given(ANY)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_override_is_taken_or_refused_in_our_own_words(studio, override):
    with contextlib.suppress(ConfigError):  # anything else is a failure
        compose("studio/tiny", [override], registry=studio.registry)
