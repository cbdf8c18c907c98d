"""The inference engine: radiographs and texts in, embeddings, scores and maps out.

Research software, not a medical device: nothing here may inform the care of a patient. Imports no
TensorFlow, and sees an image as training saw it.
"""

import collections
import concurrent.futures
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines import image as image_files
from data_pipelines.dicom import Window
from data_pipelines.records import BadInput
from data_pipelines.reports import split_sentences
from data_pipelines.tokenizer import Tokenizer
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.transfer.controls import trains_observations
from place_jax.transfer.evidence import gather_evidence
from place_jax.transfer.geometry import uncrop
from place_jax.transfer.grounding import make_maps
from place_jax.transfer.maps import MapKind, Observed
from place_jax.transfer.texts import EncodedTexts, encode_texts

Image = str | os.PathLike | bytes | np.ndarray
_READERS = 4  # threads: decoding lets go of the interpreter


class Predictor:
    """A trained model with all that it needs to read images and texts. Not a medical device.

    Attributes:
      model: with params and model_state, its arrays.
      config: the config that it was trained with.
      tokenizer: of the vocabulary that it was trained with.
      metadata: of the checkpoint.
    """

    def __init__(self, model: Model, params: dict, model_state: dict, config: ConfigDict, metadata):
        self.model = model
        self.params = params
        self.model_state = model_state
        self.config = config
        self.metadata = metadata
        self.tokenizer = Tokenizer(metadata["vocabulary"])
        self.image_size = int(metadata["preprocessing"]["image_size"])
        self.crop_size = int(metadata["preprocessing"]["crop_size"])
        self.dicom_window = Window(metadata["preprocessing"].get("dicom_window", "header"))

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike) -> "Predictor":
        """Loads a checkpoint: a workdir (its last one) or a `checkpoints/STEP` folder."""
        from place_jax.training.checkpoints import load_for_inference

        params, model_state, config, metadata = load_for_inference(path)
        model = Model.from_config(
            config.model,
            image_size=int(metadata["preprocessing"]["crop_size"]),
            vocab_size=config.model.text.vocab_size or len(metadata["vocabulary"]),
        )
        return cls(model, params, model_state, config, metadata)

    def __repr__(self) -> str:
        return f"Predictor({self.config.objective}, {self.crop_size} pixels; for research only)"

    def embed_images(
        self,
        images: Image | Iterable[Image],
        *,
        batch_size: int = 16,
        on_bad: Callable[[int, BadInput], None] | None = None,
    ) -> np.ndarray:
        """[n, E] unit rows. Images are of any size and kind, together; see `pixels`.

        Args:
          images: one, or any number; read as they are needed, so that an iterator may be endless.
          batch_size: encoded at once.
          on_bad: told the position and the reason of an image that cannot be read, which is then
            left out; None raises at the first.

        Raises:
          BadInput: no image, or one that cannot be read.
        """
        images = _as_images(images)
        return self._encode(_embed_images, images, batch_size, on_bad)[0]

    def embed_texts(self, texts: str | Sequence[str]) -> np.ndarray:
        """[n, E] unit rows, of reports or prompts.

        Raises:
          BadInput: for a text without a word that the vocabulary knows.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        return self._texts([split_sentences(text) or [text] for text in texts]).report_embedding

    def zero_shot(
        self, images: Image | Iterable[Image], prompts: str | Sequence[str]
    ) -> np.ndarray:
        """Cosine of each image to each prompt, [n_images, n_prompts] in -1..1.

        No probability: compare images under one prompt, or take `pair_probability`.
        """
        texts = self.embed_texts(prompts)
        return self.embed_images(images) @ texts.T

    def pair_probability(
        self,
        image_embedding: np.ndarray,
        prompts: Sequence[str],
        negative: Sequence[str],
        *,
        temperature: float | None = None,
    ) -> np.ndarray:
        """[n_images, n_prompts] share of each prompt in the softmax of it and its contrary.

        Args:
          image_embedding: [n_images, E] of `embed_images`.
          prompts: such as "pneumothorax".
          negative: one for each, such as "no pneumothorax".
          temperature: that validation labels fitted; None for the one of training, with
            which it is a score of 0..1 and no probability.
        """
        texts = self.embed_texts([*prompts, *negative])
        difference = image_embedding @ (texts[: len(prompts)] - texts[len(prompts) :]).T
        return 1 / (1 + np.exp(-difference.astype(np.float64) / (temperature or self.temperature)))

    @property
    def temperature(self) -> float:
        """Of the softmax over cosines that training ended with."""
        return objectives.temperature(self.config, self.params)

    def ground(
        self, image: Image, text: str, *, kind: MapKind | str = MapKind.EVIDENCE
    ) -> np.ndarray:
        """Where in the image the text is, [h, w] float32 at the image's own size.

        "evidence": how much better the V-PORs match the text where they may read a place, in units
        of the cosine. "attention": where the V-POR that each sentence matches best looked, mean
        over sentences, scaled to a maximum of 1. "similarity": each place's share of the cosine of
        image and text; their mean is the cosine. Outside of the crop that the model saw attention
        is 0 and the others have their lowest value. None proves that something is there.

        Raises:
          BadInput: for a text of unknown words; ValueError for a kind that is not known, or that
            needs observations of a model without.
        """
        kinds = [kind.value for kind in MapKind]
        if kind not in kinds and not isinstance(kind, MapKind):
            raise ValueError(f"map {kind!r} is not known: use one of {', '.join(kinds)}")
        kind = MapKind(kind)
        if kind is not MapKind.SIMILARITY and not trains_observations(self.config):
            raise ValueError(
                f"this checkpoint (objective={self.config.objective}, "
                f"lambda_p={self.config.loss.lambda_p}) trained no observations that ground a "
                "text: use the map 'similarity', or a checkpoint of objective=place with lambda_p "
                "above 0"
            )
        original = self._opened(image)
        stored = image_files.fit_long_side(original, self.image_size, window=self.dicom_window)
        encoded = self._texts([split_sentences(text) or [text]])
        evidence = None
        if kind is MapKind.EVIDENCE:
            pixels = image_files.pad_and_crop(stored, self.crop_size)[None, :, :, None]
            weights = self.model, self.params, self.model_state
            batch = pixels, np.ones(1, bool)
            evidence = gather_evidence(weights, [batch], [(0, 0)], encoded, self.config)
        maps = make_maps(self.observe([original]), encoded, [kind], self.crop_size, evidence)
        crop = maps[kind](0, 0)
        outside = float(crop.min())
        if kind is MapKind.ATTENTION:
            crop, outside = crop / crop.max(), 0.0
        height, width = original.shape
        found = uncrop(crop, stored.shape, self.image_size, outside=outside)
        return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)

    def observe(self, images: Image | Iterable[Image], *, batch_size: int = 16) -> Observed:
        """What maps of images are made of: V-PORs, their attention, each patch's embedding."""
        return Observed(*self._encode(_observe, _as_images(images), batch_size))

    def pixels(self, image: Image) -> np.ndarray:
        """[h, w] uint8 of a path or bytes (DICOM, PNG, JPEG), or of an array that is that already.

        Raises:
          BadInput: for what cannot be read as a grey image.
        """
        try:
            opened = self._opened(image)
            if isinstance(opened, image_files.ImageFile):
                return opened.decode(window=self.dicom_window)
        except BadInput as error:
            raise _named(error, image) from error
        return opened

    def _opened(self, image: Image) -> np.ndarray | image_files.ImageFile:
        """A file, not decoded yet, or an array that was checked."""
        if isinstance(image, image_files.ImageFile):
            return image
        if not isinstance(image, np.ndarray):
            return image_files.open_image(
                image if isinstance(image, bytes) else pathlib.Path(image)
            )
        if image.dtype != np.uint8 or image.ndim != 2 or 0 in image.shape:
            raise BadInput(
                "bad_array",
                f"image is {image.dtype} of shape {image.shape}: give [h, w] uint8 grey levels",
            )
        return image

    def prepared_pixels(self, image: Image) -> np.ndarray:
        """[crop, crop] uint8: an image as training's evaluation saw it."""
        opened = self._opened(image)
        stored = image_files.fit_long_side(opened, self.image_size, window=self.dicom_window)
        return image_files.pad_and_crop(stored, self.crop_size)

    def open_data(self, folder: str | os.PathLike):
        """Opens a prepared folder with this checkpoint's vocabulary. Needs TensorFlow.

        Raises:
          BadInput: where the folder has not its tokens, or images of another size.
        """
        from data_pipelines.batches import open_data

        data = open_data(folder, vocab_hash=self.tokenizer.hash)
        if data.image_size != self.image_size:
            raise BadInput(
                "other_image_size",
                f"{data.dir} has images of {data.image_size} pixels and the checkpoint was trained "
                f"on {self.image_size}: prepare with --image-size {self.image_size}",
            )
        return data

    def _encode(
        self,
        encode: Callable,
        images: Iterable[Image],
        batch_size: int,
        on_bad: Callable[[int, BadInput], None] | None = None,
    ) -> tuple[np.ndarray, ...]:
        """What `encode` makes of the images, each array a row an image.

        The first batch is rounded up to a power of two and later ones to `batch_size`: few
        compilations serve any number of images, and one image costs what one image costs.
        """
        if batch_size < 1:
            raise BadInput("bad_batch_size", f"batch_size={batch_size}: use 1 or more")
        found: list[tuple[np.ndarray, ...]] = []
        readable = self._read(images, 2 * batch_size, on_bad)
        while rows := list(itertools.islice(readable, batch_size)):
            size = batch_size if found else min(batch_size, 1 << (len(rows) - 1).bit_length())
            batch = np.zeros((size, self.crop_size, self.crop_size, 1), np.uint8)
            batch[: len(rows), :, :, 0] = rows
            encoded = encode(self.model, self.params, self.model_state, batch)
            found.append(tuple(np.asarray(value)[: len(rows)] for value in encoded))
        if not found:
            raise BadInput("no_image", "no image that can be read was given: give at least one")
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def _read(
        self, images: Iterable[Image], ahead: int, on_bad: Callable[[int, BadInput], None] | None
    ) -> Iterator[np.ndarray]:
        """Prepared pixels in order, read by threads up to `ahead` images early."""
        with concurrent.futures.ThreadPoolExecutor(_READERS) as readers:
            waiting: collections.deque = collections.deque()
            numbered = enumerate(images)
            while True:
                for number, image in itertools.islice(numbered, ahead - len(waiting)):
                    reading = readers.submit(self.prepared_pixels, image)
                    waiting.append((number, image, reading))
                if not waiting:
                    return
                number, image, reading = waiting.popleft()
                try:
                    pixels = reading.result()
                except BadInput as error:
                    if on_bad is None:
                        for *_, other in waiting:
                            other.cancel()
                        raise _named(error, image, number) from error
                    on_bad(number, error)
                    continue
                yield pixels

    def _texts(self, texts: Sequence[Sequence[str]]) -> EncodedTexts:
        return encode_texts(
            self.model, self.params, self.model_state, texts, self.tokenizer, config=self.config
        )


def _named(error: BadInput, image: Image, number: int | None = None) -> BadInput:
    """The error with the path of its image, or with its place among others that have none."""
    path = os.fspath(image) if isinstance(image, str | os.PathLike) else None
    if path is not None and path not in str(error):
        return BadInput(error.reason, f"{path}: {error}")
    if path is not None or number is None:
        return error
    return BadInput(error.reason, f"image {number}, counted from 0: {error}")


def _as_images(images: Image | Iterable[Image]) -> Iterable[Image]:
    """One image as a list of one."""
    one = isinstance(images, str | os.PathLike | bytes) or getattr(images, "ndim", 3) == 2
    return [images] if one else images


@functools.partial(jax.jit, static_argnames="model")
def _embed_images(model: Model, params, model_state, images):
    return (model.encode_images(params, model_state, images).image_embedding,)


@functools.partial(jax.jit, static_argnames="model")
def _observe(model: Model, params, model_state, images):
    outputs = model.encode_images(params, model_state, images)
    patches = model.patch_embeddings(params, model_state, outputs.patch_tokens)
    return outputs.v_por, outputs.v_por_attention, patches
