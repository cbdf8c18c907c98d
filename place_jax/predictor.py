"""The inference engine: radiographs and texts in, embeddings, scores and maps out.

Research software, not a medical device: nothing here may inform the care of a patient. Imports no
TensorFlow, and sees an image as training saw it.
"""

import functools
import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence

import cv2
import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines import image as image_files
from data_pipelines.dicom import Window
from data_pipelines.records import BadInput
from data_pipelines.reports import split_sentences
from data_pipelines.tokenizer import Tokenizer
from place_jax.models.functional import Model
from place_jax.transfer.controls import trains_observations
from place_jax.transfer.geometry import uncrop
from place_jax.transfer.grounding import matched_attention
from place_jax.transfer.texts import EncodedTexts, encode_texts

Image = str | os.PathLike | bytes | np.ndarray


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

    def embed_images(self, images: Image | Iterable[Image], *, batch_size: int = 16) -> np.ndarray:
        """[n, E] unit rows. Images are of any size and kind, together; see `pixels`."""
        if isinstance(images, str | os.PathLike | bytes) or getattr(images, "ndim", 3) == 2:
            images = [images]
        return self._encode(images, batch_size)[0]

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

        No probability: compare images under one prompt, or the prompts of a pair ("pneumothorax",
        "no pneumothorax") on one image.
        """
        texts = self.embed_texts(prompts)
        return self.embed_images(images) @ texts.T

    def ground(self, image: Image, text: str) -> np.ndarray:
        """Where the model looked for what the text says, [h, w] float32 at the image's own size.

        The attention of the V-POR that each sentence matches best, mean over sentences, scaled to
        a maximum of 1; 0 outside of the crop that the model saw. It is where the model looked, and
        no proof that something is there.

        Raises:
          BadInput: for a text of unknown words; ValueError for a model without observations.
        """
        if not trains_observations(self.config):
            raise ValueError(
                f"this checkpoint (objective={self.config.objective}, "
                f"lambda_p={self.config.loss.lambda_p}) trained no observations to ground a text "
                "with: use one of objective=place with lambda_p above 0"
            )
        original = self._opened(image)
        stored = image_files.fit_long_side(original, self.image_size, window=self.dicom_window)
        encoded = self._texts([split_sentences(text) or [text]])
        sentences = encoded.t_por[0][encoded.sentence_mask[0]]
        _, v_por, attention = self._encode([original], 1)
        crop = np.mean(
            [matched_attention(t, v_por[0], attention[0], self.crop_size) for t in sentences],
            axis=0,
        )
        height, width = original.shape
        found = uncrop(crop / crop.max(), stored.shape, self.image_size)
        return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)

    def pixels(self, image: Image) -> np.ndarray:
        """[h, w] uint8 of a path or bytes (DICOM, PNG, JPEG), or of an array that is that already.

        Raises:
          BadInput: for what cannot be read as a grey image.
        """
        opened = self._opened(image)
        if isinstance(opened, image_files.ImageFile):
            return opened.decode(window=self.dicom_window)
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

    def _encode(self, images: Iterable[Image], batch_size: int) -> tuple[np.ndarray, ...]:
        """image_embedding [n, E], v_por [n, Q, E] and v_por_attention [n, Q, N].

        Batches are filled up to `batch_size`, so that one compilation serves any number of images.
        """
        found: list[tuple[np.ndarray, ...]] = []
        images = iter(images)
        while rows := [self.prepared_pixels(i) for i in itertools.islice(images, batch_size)]:
            batch = np.zeros((batch_size, self.crop_size, self.crop_size, 1), np.uint8)
            batch[: len(rows), :, :, 0] = rows
            encoded = _encode_images(self.model, self.params, self.model_state, batch)
            found.append(tuple(np.asarray(value)[: len(rows)] for value in encoded))
        if not found:
            raise BadInput("no_image", "no image was given: give at least one")
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def _texts(self, texts: Sequence[Sequence[str]]) -> EncodedTexts:
        return encode_texts(
            self.model, self.params, self.model_state, texts, self.tokenizer, config=self.config
        )


@functools.partial(jax.jit, static_argnames="model")
def _encode_images(model: Model, params, model_state, images):
    outputs = model.encode_images(params, model_state, images)
    return outputs.image_embedding, outputs.v_por, outputs.v_por_attention
