from __future__ import annotations

import numpy as np
import pytest
import torch
from generation_support import transform
from PIL import Image

from nemo_core.errors import ConfigError, DataError
from nemo_mm.data import LabelledPicture, Mnist, PictureBatch, PictureData, PictureFolder


def test_the_digits_are_divided_once_and_for_all():
    train, test = Mnist("train"), Mnist("test")
    assert (len(train), len(test)) == (8000, 2000)
    assert min(np.bincount(train.labels)) > 700
    assert min(np.bincount(test.labels)) > 180
    both = np.concatenate([train.images, test.images]).reshape(10_000, -1)
    assert len(np.unique(both, axis=0)) == 10_000
    assert (test[0].label, int(test.images.astype(int).sum())) == (2, int(Mnist("test").images.astype(int).sum()))
    assert [picture.label for picture in (test[i] for i in range(8))] == test.labels[:8].tolist()
    with pytest.raises(ValueError, match="read-only"):
        train.images[0] = 0


def test_digits_that_are_not_there():
    with pytest.raises(ConfigError, match="no split 'valid'"):
        Mnist("valid")
    with pytest.raises(ConfigError, match="0 pictures"):
        Mnist("train", limit=0)


def test_batches_have_what_all_pictures_have():
    data = PictureData(train=Mnist("train", texts=True, limit=6), batch_size=4, shuffle=False)
    batches = list(data.train_dataloader())
    assert [len(batch.images) for batch in batches] == [4, 2]
    assert batches[0].classes.tolist() == Mnist("train").labels[:4].tolist()
    assert batches[1].need_texts()[0].startswith("a handwritten ")
    mixed = data.collate(
        [LabelledPicture(np.zeros((1, 2, 2), np.uint8), 1), LabelledPicture(np.zeros((1, 2, 2), np.uint8))]
    )
    assert mixed.classes is None
    assert mixed.texts is None
    with pytest.raises(DataError, match="differ in size"):
        data.collate([LabelledPicture(np.zeros((1, 2, 2), np.uint8)), LabelledPicture(np.zeros((1, 2, 3), np.uint8))])
    with pytest.raises(DataError, match="no classes"):
        mixed.need_classes()
    with pytest.raises(DataError, match="no texts"):
        PictureBatch(torch.zeros(1, 1, 2, 2)).need_texts()


def test_a_folder_of_folders(tmp_path):
    for name, count in (("cat", 2), ("dog", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (10, 6), (255 * number, 0, 0)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    pictures = PictureFolder(tmp_path, transform(), texts=True)
    assert pictures.class_names == ["cat", "dog"]
    assert [(each.label, each.text) for each in (pictures[i] for i in range(3))] == [(0, "cat"), (0, "cat"), (1, "dog")]
    assert pictures[0].image.shape == (1, 8, 8)
    assert [PictureFolder(tmp_path, transform(), ["owl", "dog", "cat"])[i].label for i in range(3)] == [1, 2, 2]
    with pytest.raises(DataError, match="cat is of no known class"):
        PictureFolder(tmp_path, transform(), ["cats", "dog"])
    (tmp_path / "dog" / "0.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"0\.png"):
        pictures[2]


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        PictureFolder(tmp_path / "none", transform())
    with pytest.raises(DataError, match="no pictures in folders of classes"):
        PictureFolder(tmp_path, transform())
