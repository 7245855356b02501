"""Pictures in folders, one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nemo_core.config.configured import Configured
from nemo_core.errors import DataError
from nemo_core.plugins.nearest import did_you_mean
from nemo_mm.data.picture_sets import LabelledPicture
from nemo_mm.images import IMAGE_SUFFIXES, ImageTransform

__all__ = ["PictureFolder"]


class PictureFolder(Configured):
    """Pictures that lie in a folder for each class, whose name is that of the class.

    Args:
        path: The folder of folders.
        transform: Brings pictures to one size.
        class_names: Number of each class; the folders' names in alphabetical order, if not given.
        texts: Whether pictures have their class's name as a description.

    Raises:
        DataError: There is no such folder, no picture in it, or a folder of no known class.

    Example:
        ``train: {_target_: mm.PictureFolder, path: flowers/train, transform: "${model.transform}"}``
    """

    def __init__(
        self,
        path: str | Path,
        transform: ImageTransform,
        class_names: Sequence[str] | None = None,
        texts: bool = False,
    ) -> None:
        self.path, self.transform, self.texts = Path(path), transform, texts
        if not self.path.is_dir():
            raise DataError(f"{self.path} is no folder", hint="give a folder with a folder for each class")
        found = sorted(each.name for each in self.path.iterdir() if each.is_dir() and not each.name.startswith("."))
        self.class_names = found if class_names is None else list(class_names)
        for name in found:
            if name not in self.class_names:
                raise DataError(
                    f"{self.path / name} is of no known class",
                    hint=did_you_mean(name, self.class_names) or f"classes are {', '.join(self.class_names)}",
                )
        self._files = [
            (file, number)
            for number, name in enumerate(self.class_names)
            for file in sorted((self.path / name).rglob("*"))
            if file.suffix.lower() in IMAGE_SUFFIXES
        ]
        if not self._files:
            raise DataError(
                f"{self.path} has no pictures in folders of classes", hint="such as cat/1.png, cat/2.png, dog/1.png"
            )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> LabelledPicture:
        file, number = self._files[index]
        return LabelledPicture(self.transform.open(file), number, self.class_names[number] if self.texts else None)
