"""Text to speech: an acoustic model and a vocoder, one behind the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nemo_core.errors import ConfigError, DataError
from nemo_tts.models.fastpitch import Aligned
from nemo_tts.models.griffin_lim import GriffinLim
from nemo_tts.models.pairing import check_pair
from nemo_tts.synthesis.prosody import Prosody, check_words, prosody_of_tokens, words_of
from nemo_tts.synthesis.sentences import split_sentences
from nemo_tts.synthesis.speech import Speech

__all__ = ["Synthesizer"]


class _Piece(NamedTuple):
    """A sentence, its tokens, and the seconds it took to find them."""

    text: str
    tokens: list[int]
    seconds: float
    words: Sequence[int] = ()
    """Which word of the text each token belongs to, where somebody wants to know."""


class Synthesizer:
    """Speaks texts.

    Args:
        acoustic: Tokens to spectrogram, such as :class:`~nemo_tts.models.FastPitch`; it needs a tokenizer.
        vocoder: Spectrogram to audio; Griffin-Lim, which needs no training, if not given.
        tokenizer: In place of the acoustic model's own.
        pause: Silence between sentences, seconds.
        speakers: Names of the voices, in the order of their numbers.

    Raises:
        ConfigError: There is no tokenizer.
        NeuralTypeError: The vocoder understands other spectrograms than the acoustic model makes.
    """

    def __init__(
        self,
        acoustic: Any,
        vocoder: Any = None,
        *,
        tokenizer: Any = None,
        pause: float = 0.2,
        speakers: Sequence[str] | None = None,
    ) -> None:
        self.acoustic = acoustic
        self.vocoder = vocoder if vocoder is not None else GriffinLim(acoustic.preprocessor)
        check_pair(self.acoustic, self.vocoder)
        self.tokenizer = tokenizer if tokenizer is not None else acoustic.tokenizer
        if self.tokenizer is None:
            raise ConfigError("the acoustic model has no tokenizer", hint="give one")
        self.pause = pause
        self.speakers = list(speakers or getattr(acoustic, "speakers", None) or [])

    @property
    def sample_rate(self) -> int:
        """Rate of the audio, Hz."""
        rate: int = self.vocoder.sample_rate
        return rate

    def synthesize(
        self,
        texts: str | Sequence[str],
        *,
        batch_size: int = 8,
        words: Mapping[int, Prosody] | None = None,
        **voice: Any,
    ) -> list[Speech]:
        """Return the speech of each text.

        Texts are cut into sentences, sentences of like length are computed together, and put together again.

        Args:
            texts: One or several.
            batch_size: Sentences that are computed together.
            words: How single words are said, by their numbers from 1, as they are spoken ("20" is one, "twenty one"
                two); of one text only.
            voice: ``speaker`` (name or number), ``pace``, ``pitch_shift`` (semitones), ``pitch_range``,
                ``energy_shift`` (decibels) and what else :meth:`~nemo_tts.models.FastPitch.generate` takes.

        Raises:
            DataError: A text has nothing that can be spoken; the message says which. Or it has no such word.
        """
        given = [texts] if isinstance(texts, str) else list(texts)
        if words and len(given) != 1:
            raise DataError(f"words are numbered in one text, but there are {len(given)}", hint="give one text")
        pieces = [(number, piece) for number, text in enumerate(given) for piece in self._pieces(text, number, words)]
        order = sorted(range(len(pieces)), key=lambda each: len(pieces[each][1].tokens))
        made: dict[int, Speech] = {}
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            made.update(zip(chosen, self._speak([pieces[each][1] for each in chosen], voice, words), strict=True))
        spoken: list[list[Speech]] = [[] for _ in given]
        for place, (number, _) in enumerate(pieces):
            spoken[number].append(made[place])
        return [self._joined(text, parts) for text, parts in zip(given, spoken, strict=True)]

    def stream(self, text: str, *, words: Mapping[int, Prosody] | None = None, **voice: Any) -> Iterator[Speech]:
        """Yield the speech of a text sentence by sentence, each as soon as it is there.

        Args:
            text: What to say.
            words: As for :meth:`synthesize`.
            voice: As for :meth:`synthesize`.

        Raises:
            DataError: Nothing of the text can be spoken.
        """
        for place, piece in enumerate(self._pieces(text, 0, words)):
            (speech,) = self._speak([piece], voice, words)
            yield speech if place == 0 else self._after_pause(speech)

    def align(self, text: str, audio: np.ndarray, speaker: str | int | None = None) -> tuple[Aligned, list[str]] | None:
        """Return which frames of a recording belong to which token, and what the tokens are.

        Args:
            text: What is said in it.
            audio: Samples (S,) at :attr:`sample_rate`.
            speaker: Name or number of the voice.

        Returns:
            None for a model without an aligner.
        """
        if getattr(self.acoustic, "aligner", None) is None:
            return None
        ids = self.tokenizer.encode(text)
        device = self.acoustic.device
        samples = torch.as_tensor(audio, dtype=torch.float32, device=device)
        found = self.acoustic.align(samples, torch.tensor(ids, device=device), self._speaker(speaker))
        return found, self.tokenizer.pieces(ids)

    def _pieces(self, text: str, number: int, words: Mapping[int, Prosody] | None = None) -> list[_Piece]:
        # All at once, also for a stream: what cannot be spoken is said before anything is heard.
        pieces = [piece for piece in map(self._piece, split_sentences(text)) if piece.tokens]
        if not pieces:
            shown = f"{text[:60]!r}{' ...' if len(text) > 60 else ''}"
            raise DataError(f"text {number + 1}, {shown}, has nothing that can be spoken", hint="give words")
        if words:
            pieces, count = _counted(pieces, self.tokenizer)
            check_words(words, count)
        return pieces

    def _piece(self, text: str) -> _Piece:
        """Return a sentence and its tokens; none, if there is no word in it."""
        started = time.perf_counter()
        ids: list[int] = self.tokenizer.encode(text)
        words = any(letter.isalnum() for token in self.tokenizer.pieces(ids) for letter in token)
        return _Piece(text, ids if words else [], time.perf_counter() - started)

    def _speak(
        self, pieces: Sequence[_Piece], voice: dict[str, Any], words: Mapping[int, Prosody] | None = None
    ) -> list[Speech]:
        started = time.perf_counter()
        ids = [piece.tokens for piece in pieces]
        device = self.acoustic.device
        tokens = torch.full((len(ids), max(map(len, ids))), self.tokenizer.pad, dtype=torch.long, device=device)
        for row, each in zip(tokens, ids, strict=True):
            row[: len(each)] = torch.tensor(each)
        length = torch.tensor([len(each) for each in ids], device=device)
        speaker = self._speaker(voice.get("speaker"))
        if words:
            usual = Prosody(**{name: value for name, value in voice.items() if name in Prosody.__annotations__})
            wishes = prosody_of_tokens(words, [piece.words for piece in pieces], tokens.shape[1], usual)
            voice = {**voice, **{name: wish.to(device) for name, wish in wishes.items()}}
        made = self.acoustic.generate(tokens, length, **{**voice, "speaker": speaker})
        audio = self.vocoder.vocode(made.spectrogram, made.length)
        seconds = (time.perf_counter() - started) / len(pieces)
        hop = self.vocoder.hop_length
        return [
            Speech(
                audio=_array(audio[row, : int(made.length[row]) * hop]),
                sample_rate=self.sample_rate,
                text=piece.text,
                spectrogram=_array(made.spectrogram[row, :, : int(made.length[row])]),
                symbols=self.tokenizer.pieces(ids[row]),
                durations=made.frames[row, : len(ids[row])].cpu().numpy(),
                pitch=self._hertz(_array(made.pitch[row, : len(ids[row])])),
                hop_length=hop,
                seconds=piece.seconds + seconds,
            )
            for row, piece in enumerate(pieces)
        ]

    def _speaker(self, given: str | int | None) -> int | None:
        count = getattr(self.acoustic, "n_speakers", 1)
        if given is None:
            return 0 if count > 1 else None
        if isinstance(given, str) and given.isdigit() and given not in self.speakers:
            given = int(given)
        if isinstance(given, str):
            if given not in self.speakers:
                known = f"one of {', '.join(self.speakers)}" if self.speakers else f"a number below {count}"
                hint = f"give {known}" if count > 1 else "the model has one voice, which needs no name"
                raise DataError(f"there is no speaker {given!r}", hint=hint)
            return self.speakers.index(given)
        return given

    def _hertz(self, pitch: np.ndarray) -> np.ndarray:
        hertz: np.ndarray = pitch * self.acoustic.pitch_std + self.acoustic.pitch_mean
        return hertz

    def _after_pause(self, speech: Speech) -> Speech:
        return replace(speech, audio=np.concatenate([self._silence(), speech.audio]))

    def _silence(self) -> np.ndarray:
        return np.zeros(round(self.pause * self.sample_rate), dtype=np.float32)

    def _joined(self, text: str, parts: Sequence[Speech]) -> Speech:
        if len(parts) == 1:
            return parts[0]
        audio = [parts[0].audio, *(piece for part in parts[1:] for piece in (self._silence(), part.audio))]
        # In pictures the pause is a symbol of its own.
        frames = round(len(self._silence()) / parts[0].hop_length)
        quiet = np.full((len(parts[0].spectrogram), frames), parts[0].spectrogram.min(), dtype=np.float32)
        spectrogram, symbols, durations, pitch = [], [], [], []
        for place, part in enumerate(parts):
            if place:
                spectrogram.append(quiet)
                symbols.append(" ")
                durations.append(np.array([frames]))
                pitch.append(np.zeros(1, dtype=np.float32))
            spectrogram.append(part.spectrogram)
            symbols += part.symbols
            durations.append(part.durations)
            pitch.append(part.pitch)
        return Speech(
            audio=np.concatenate(audio),
            sample_rate=self.sample_rate,
            text=text,
            spectrogram=np.concatenate(spectrogram, 1),
            symbols=symbols,
            durations=np.concatenate(durations),
            pitch=np.concatenate(pitch),
            hop_length=parts[0].hop_length,
            seconds=sum(part.seconds for part in parts),
        )


def _counted(pieces: Sequence[_Piece], tokenizer: Any) -> tuple[list[_Piece], int]:
    """Return the sentences with the numbers of their words, and how many words there are."""
    counted, count = [], 0
    for piece in pieces:
        numbers = words_of(tokenizer.pieces(piece.tokens))
        counted.append(piece._replace(words=[number + count if number else 0 for number in numbers]))
        count += max(numbers)
    return counted, count


def _array(x: Tensor) -> np.ndarray:
    found: np.ndarray = x.detach().float().cpu().numpy()
    return found
