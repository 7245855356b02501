from __future__ import annotations

import json
import math

import pytest
import torch
from archive_support import Free, Other, Part, Small, Vocabulary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust
from nemo_core.errors import ArchiveError, ConfigError, UntrustedTargetError
from nemo_core.models import Archive, Model, restore

TRUST = Trust.user(["archive_support"])
DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
          "float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64"]  # fmt: skip


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bytes_of(a) == bytes_of(b)


def bytes_of(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def test_restored_model_computes_the_same(small, archive, trust):
    again = Small.restore(archive, trust=trust)
    x = torch.randn(4, 3)
    assert torch.equal(small(x), again(x))
    assert not again.training
    assert again.load_report.complete
    assert sorted(again.load_report.loaded) == sorted(small.state_dict())


def test_artifact_travels_with_the_model(small, archive, trust, tmp_path):
    (tmp_path / "vocab.txt").unlink()
    again = restore(archive, trust=trust)
    assert again.vocabulary.content == b"one\ntwo\n"
    again.save(tmp_path / "again.nemo")  # its temporary file is gone by now
    assert restore(tmp_path / "again.nemo", trust=trust).vocabulary.content == b"one\ntwo\n"


def test_artifacts_of_one_name_stay_apart(tmp_path, trust):
    files = []
    for content in ("a", "b", "a"):
        folder = tmp_path / str(len(files))
        folder.mkdir()
        files.append(folder / "vocab.txt")
        files[-1].write_text(content)
    model = Small(Part(), vocabularies=[Vocabulary(str(file)) for file in files])
    path = model.save(tmp_path / "m.nemo")
    with Archive(path) as archive:
        assert len(archive.artifacts) == 2
    assert [v.content for v in restore(path, trust=trust).vocabularies] == [b"a", b"b", b"a"]


def test_archives_of_equal_models_are_equal_bytes(small, archive, trust, tmp_path):
    again = Small.restore(archive, trust=trust)
    assert again.save(tmp_path / "again.nemo").read_bytes() == archive.read_bytes()


def test_manifest_names_components_and_hashes(archive):
    import hashlib

    with Archive(archive) as opened:
        manifest = opened.manifest
        assert manifest.model == "archive_support.Small"
        assert [c["name"] for c in manifest.components] == ["archive_support.Small", "archive_support.Part",
                                                             "archive_support.Vocabulary"]  # fmt: skip
        assert manifest.created_by["torch"] == torch.__version__
        for name, listed in manifest.members.items():
            content = bytes(opened.view(name))
            assert listed == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path, trust):
    model = Small(Part(3), out=3, tie=True)
    path = model.save(tmp_path / "tied.nemo")
    with Archive(path) as archive:
        assert dict(archive.manifest.tied_weights) == {"head.weight": "part.layer.weight"}
    again = restore(path, trust=trust)
    assert again.head.weight is again.part.layer.weight
    assert torch.equal(again.head.weight, model.head.weight)
    assert again.load_report.complete


def test_views_and_transposed_weights_are_saved_by_value(tmp_path, trust):
    base = torch.arange(12.0)
    model = Free([((3, 2), "float32"), ((4,), "float32")])
    model.w0 = base[:6].view(2, 3).T
    model.w1 = base[4:8]  # overlaps w0 in memory
    again = restore(model.save(tmp_path / "m.nemo"), trust=trust)
    assert torch.equal(again.w0, model.w0)
    assert torch.equal(again.w1, model.w1)


def test_half_precision_comes_back_as_it_was(small, tmp_path, trust):
    again = restore(small.half().save(tmp_path / "half.nemo"), trust=trust)
    assert {w.dtype for w in again.parameters()} == {torch.float16}
    assert all(same(a, b) for a, b in zip(small.state_dict().values(), again.state_dict().values(), strict=True))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(DTYPES), st.integers(0, 2**32)), max_size=6
    )
)
def test_any_state_dict_round_trips(tmp_path, entries):
    model = Free([(shape, dtype) for shape, dtype, _ in entries])
    for index, (shape, dtype, seed) in enumerate(entries):
        size = math.prod(shape) * getattr(torch, dtype).itemsize
        raw = torch.randint(0, 2 if dtype == "bool" else 256, (size,), generator=torch.Generator().manual_seed(seed))
        values = raw.to(torch.uint8).view(getattr(torch, dtype)).view(shape) if size else getattr(model, f"w{index}")
        setattr(model, f"w{index}", values)
    again = restore(model.save(tmp_path / "m.nemo", overwrite=True), trust=TRUST)
    assert list(again.state_dict()) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert same(value, again.state_dict()[name]), name


_text = st.text(st.characters(codec="utf-8"), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(_text, _values, max_size=4))
def test_any_plain_configuration_survives_its_yaml(config):
    from nemo_core.models import safe_yaml

    again = safe_yaml.load(safe_yaml.dump(config).encode(), "here")
    assert again == config
    assert repr(again) == repr(config)  # 1 and 1.0 and True are equal, but not the same


def test_restore_leaves_a_file_that_can_be_replaced(small, archive, trust):
    """The weights are copied out of the file: overwriting it later changes no model."""
    again = Small.restore(archive, trust=trust)
    before = again.head.weight.clone()
    archive.write_bytes(b"x" * archive.stat().st_size)
    assert torch.equal(again.head.weight, before)


def test_other_classes_are_refused(archive, trust):
    with pytest.raises(ArchiveError, match=r"describes a Small, not a Other"):
        Other.restore(archive, trust=trust)
    assert isinstance(Model.restore(archive, trust=trust), Small)


def test_nothing_in_an_archive_is_trusted_by_default(archive):
    with pytest.raises(UntrustedTargetError, match=r"archive_support\.Small is not trusted"):
        restore(archive)
    with pytest.raises(UntrustedTargetError, match=r"archive_support\.Part is not trusted"):
        Small.restore(archive)  # naming the class trusts it, not its parts


def test_existing_files_are_kept(small, archive):
    before = archive.read_bytes()
    with pytest.raises(ArchiveError, match=r"there already"):
        small.save(archive)
    assert archive.read_bytes() == before
    small.head.weight.data.zero_()
    small.save(archive, overwrite=True)
    assert archive.read_bytes() != before


def test_saving_into_a_folder_says_what_to_do(small, tmp_path):
    with pytest.raises(ArchiveError, match=r"is a folder") as caught:
        small.save(tmp_path)
    assert "model.nemo" in caught.value.hint


def test_a_failed_save_leaves_nothing_behind(small, tmp_path):
    small.register_buffer("broken", torch.empty(2, device="meta"))
    with pytest.raises(ArchiveError, match=r"broken is on the meta device"):
        small.save(tmp_path / "out" / "m.nemo")
    assert list((tmp_path / "out").iterdir()) == []


def test_weights_without_plain_values_are_named(small, tmp_path):
    small.register_buffer("odd", torch.eye(3).to_sparse())
    with pytest.raises(ArchiveError, match=r"odd.*sparse"):
        small.save(tmp_path / "m.nemo")


def test_strict_restore_lists_what_does_not_fit(small, archive, trust):
    with pytest.raises(ArchiveError) as caught:
        restore(archive, trust=trust, override_config={"out": 5})
    assert "head.weight: (5, 3) here, (2, 3) there" in str(caught.value)
    model = restore(archive, trust=trust, override_config={"out": 5}, strict=False)
    assert model.head.out_features == 5
    report = model.load_report
    assert set(report.mismatched) == {"head.weight", "head.bias"}
    assert report.missing == report.unexpected == []
    assert torch.equal(model.part.layer.weight, small.part.layer.weight)
    assert json.loads(json.dumps(report.as_dict()))["complete"] is False


def test_weights_that_are_not_loaded_have_their_initial_values(archive, trust):
    """Restoring skips the drawing of random weights, which must not leave zeros where nothing was loaded."""
    model = restore(archive, trust=trust, override_config={"out": 500}, strict=False)
    assert model.head.weight.abs().min() > 0
    assert model.head.weight.std().item() == pytest.approx(1 / 3, rel=0.2)  # uniform in +-1/sqrt(3)


def test_restoring_draws_no_random_numbers(archive, trust):
    before = torch.get_rng_state()
    restore(archive, trust=trust)
    assert torch.equal(torch.get_rng_state(), before)


def test_override_config_in_all_forms(archive, trust):
    from omegaconf import OmegaConf

    forms = ({"vocabulary": {"lower": True}}, {"vocabulary.lower": True}, ["vocabulary.lower=true"],
             OmegaConf.create({"vocabulary": {"lower": True}}))  # fmt: skip
    for form in forms:
        model = restore(archive, trust=trust, override_config=form)
        assert model.vocabulary.lower is True
        assert model.vocabulary.content == b"one\ntwo\n"


def test_override_to_another_class_drops_the_old_arguments(archive, trust):
    config = restore(archive, return_config=True, override_config={"part": {"_target_": "torch.nn.ReLU"}})
    assert config["part"] == {"_target_": "torch.nn.ReLU"}


@pytest.mark.parametrize("override", [["no equals sign"], ["=1"], ["out.x=1"], ["a=[1"]])
def test_malformed_overrides_are_the_users_mistake(archive, trust, override):
    with pytest.raises(ConfigError, match=r"override"):
        restore(archive, trust=trust, override_config=override)


def test_return_config_builds_nothing(archive):
    config = restore(archive, return_config=True)  # no trust: nothing is built
    assert config["_target_"] == "archive_support.Small"
    assert config["vocabulary"]["path"] == "artifact:vocab.txt"


def test_unknown_devices_are_the_users_mistake(archive, trust):
    for device in ("no-such-device", "cuda:99"):
        with pytest.raises(ConfigError, match="map_location"):
            restore(archive, trust=trust, map_location=device)


def test_from_config_round_trip(small, trust):
    again = Small.from_config(small.to_config(), trust=trust)
    assert again.to_config() == small.to_config()
    with pytest.raises(ConfigError, match=r"describes a Small"):
        Other.from_config(small.to_config(), trust=trust)


def test_arguments_that_look_like_artifacts_are_refused(tmp_path):
    model = Free()
    model.to_config = lambda **_: {"_target_": "archive_support.Free", "weights": ["artifact:passwd"]}
    with pytest.raises(ArchiveError, match=r"weights\[0\]"):
        model.save(tmp_path / "m.nemo")


def test_optimisers_come_from_the_training_glue(small):
    from nemo_core.errors import TrainingError

    with pytest.raises(TrainingError, match="no optimiser"):
        small.configure_optimizers()
    small.optimizer_factory = lambda model: ("optimiser of", model)
    assert small.configure_optimizers() == ("optimiser of", small)


def test_frozen_for_a_while(small):
    small.train()
    small.head.requires_grad_(False)
    small.part.norm.eval()
    with small.as_frozen() as frozen:
        assert not any(w.requires_grad for w in frozen.parameters())
        assert not any(m.training for m in frozen.modules())
    assert not small.head.weight.requires_grad
    assert small.part.layer.weight.requires_grad
    assert small.training
    assert not small.part.norm.training
