"""Which example goes to which shard, and the encoding of one shard whole."""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines import reports
from data_pipelines.dicom import Window
from data_pipelines.image import encode_png, fit_geometry, fit_long_side
from data_pipelines.image_hash import image_hash
from data_pipelines.outages import Outage, is_outage
from data_pipelines.record_codec import encode_record
from data_pipelines.records import SPLITS, BadInput, Key, Source, Study, label_names
from data_pipelines.tfrecord import FOOTER, HEADER, frame

_MIN_PER_SHARD = 32  # below 64 shards; a lane of a batch wants something to shuffle
_MIN_PER_SHARD_BIG = 256  # above: files stay large enough to stream


@dataclasses.dataclass(frozen=True)
class ShardSpec:
    """Everything one shard's bytes depend on, but for the source's own files.

    Attributes:
      positions: place of each key in `source.keys()`, by which a user finds a quarantined one.
      dicom_window: a value of dicom.Window.
    """

    name: str
    version: str
    split: str
    shard: int
    shards: int
    image_size: int
    keys: tuple[Key, ...]
    positions: tuple[int, ...]
    dicom_window: str = Window.HEADER.value

    @property
    def hash(self) -> str:
        """Changes with anything that would change the shard."""
        settings = dataclasses.asdict(self) | {
            "format": folder_layout.FORMAT,
            "normaliser": reports.NORMALISER_VERSION,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _stable_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def count_shards(images: int, patients: int) -> int:
    """The largest power of two that leaves about 32 images a shard, at most 64 shards; for big
    data 256 images a shard, at most 1024; never more than patients.
    """
    wanted = max(min(64, images // _MIN_PER_SHARD), min(1024, images // _MIN_PER_SHARD_BIG), 1)
    return 1 << (min(wanted, patients).bit_length() - 1)


def check_keys(keys: Sequence[Key]) -> None:
    """Raises BadInput for an unknown split, a repeated image or a patient in two splits."""
    if not keys:
        raise BadInput("no_examples", "the source lists no images: check its --raw-dir or --csv")
    split_of_patient: dict[str, str] = {}
    images = set()
    for key in keys:
        if key.split not in SPLITS:
            raise BadInput("unknown_split", f"split {key.split!r} is not one of {SPLITS}")
        if split_of_patient.setdefault(key.patient_id, key.split) != key.split:
            raise BadInput(
                "patient_in_two_splits",
                f"patient {key.patient_id} is in both {split_of_patient[key.patient_id]!r} and "
                f"{key.split!r}: put all of a patient's images in one split",
            )
        if key.image_id in images:
            raise BadInput(
                "repeated_image",
                f"image {key.image_id} is listed twice: list every image once",
            )
        images.add(key.image_id)


def plan_shards(
    keys: Sequence[Key],
    *,
    name: str,
    version: str,
    image_size: int,
    dicom_window: str = Window.HEADER.value,
    train_shards: int | None = None,
    limit: int | None = None,
) -> list[ShardSpec]:
    """Gives every patient a shard.

    Patients with most studies go first, ties by a hash of the patient, each to the shard with
    the fewest studies so far: shards are equal to within a patient's studies, so that in training
    every study is seen equally often [ours]. `limit` keeps the images of the patients whose hash is
    smallest.
    """
    check_keys(keys)
    order = sorted(
        range(len(keys)), key=lambda i: (_stable_hash(keys[i].patient_id), keys[i].image_id)
    )[:limit]
    specs = []
    for split in SPLITS:
        members = [i for i in order if keys[i].split == split]
        if not members:
            continue
        of_patient: dict[str, list[int]] = {}
        for i in members:
            of_patient.setdefault(keys[i].patient_id, []).append(i)
        shards = count_shards(len(members), len(of_patient))
        if split == "train" and train_shards is not None:
            shards = min(train_shards, len(of_patient))
        studies = {
            patient: len({keys[i].study_id for i in images})
            for patient, images in of_patient.items()
        }
        shard_of_patient, load = {}, np.zeros(shards, np.int64)
        for patient in sorted(of_patient, key=lambda p: (-studies[p], _stable_hash(p))):
            shard_of_patient[patient] = int(load.argmin())
            load[shard_of_patient[patient]] += studies[patient]
        content: list[list[int]] = [[] for _ in range(shards)]
        for i in members:
            content[shard_of_patient[keys[i].patient_id]].append(i)
        for shard, images in enumerate(content):
            images.sort(key=lambda i: (_stable_hash(keys[i].image_id), keys[i].image_id))
            specs.append(
                ShardSpec(
                    name=name,
                    version=version,
                    split=split,
                    shard=shard,
                    shards=shards,
                    image_size=image_size,
                    keys=tuple(keys[i] for i in images),
                    positions=tuple(images),
                    dicom_window=dicom_window,
                )
            )
    return specs


def make_record(
    key: Key, study: Study, *, source: Source, image_size: int, window: str = Window.HEADER.value
) -> dict:
    """A study as it is stored. Raises BadInput("empty_report") where a report should be."""
    sentences, section = [], []
    for name, text in (("findings", study.findings), ("impression", study.impression)):
        found = reports.split_sentences(text)
        sentences += found
        section += [name] * len(found)
    if not sentences and source.has_reports:
        raise BadInput("empty_report", "the report holds no sentence")
    pixels = fit_long_side(study.pixels, image_size, window=Window(window))
    boxes = np.asarray(study.boxes, np.float32).reshape(-1, 4)
    if len(boxes):
        boxes = boxes * np.float32(fit_geometry(study.pixels.shape, image_size))
    mask = b""
    if study.mask is not None:
        # Class ids must not be mixed: the nearest pixel's, never a mean of two.
        mask = encode_png(
            cv2.resize(study.mask, pixels.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        )
    return {
        "image": encode_png(pixels),
        "image_id": key.image_id,
        "study_id": key.study_id,
        "patient_id": key.patient_id,
        "source": source.name,
        "view": study.view,
        "findings": study.findings,
        "impression": study.impression,
        "sentences": sentences,
        "section": section,
        "statement": [reports.fingerprint(reports.normalise_statement(s)) for s in sentences],
        "report_statement": reports.report_fingerprint(sentences),
        "labels": study.labels,
        "boxes": boxes,
        "box_label": study.box_label,
        "mask": mask,
        "sentence_box": np.asarray(study.sentence_box, np.int32).reshape(-1, 2),
        "image_hash": image_hash(pixels),  # for the index, not stored with the record
    }


def _records(source: Source, spec: ShardSpec, quarantined: list) -> Iterator[tuple[Key, int, dict]]:
    for key, position in zip(spec.keys, spec.positions, strict=True):
        try:
            study = source.load(key)
            record = make_record(
                key, study, source=source, image_size=spec.image_size, window=spec.dicom_window
            )
            yield key, position, record
        except BadInput as error:
            quarantined.append((key.image_id, position, error.reason))
        except MemoryError:
            raise
        except Exception as error:  # a decoder's own errors: one bad file must not stop a build
            if is_outage(error):  # and what comes back later must not be left out for good
                raise Outage(f"no answer while {key.image_id} was read: {error}") from error
            quarantined.append((key.image_id, position, f"error_{type(error).__name__}"))


def start_worker() -> None:
    """Starts a worker process: one of several that share the machine, for as long as their parent
    lives.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # whatever a library would take of accelerators
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A parent that is killed tells nobody: its workers would wait for work for ever.
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def encode_shard(source: Source, spec: ShardSpec, out_dir: str) -> None:
    """Writes one shard and, after it, its index: where records lie, whose they are, what was
    left out. Memory holds one record at a time.
    """
    folder = epath.Path(out_dir)
    path = folder / folder_layout.shard_name(spec.name, spec.split, spec.shard, spec.shards)
    quarantined: list[tuple[str, int, str]] = []
    names = label_names(source)
    kept, positions, sizes, labels, sentences, hashes = [], [], [], [], [], []
    digest, file_bytes = hashlib.sha256(), 0
    with folder_layout.write_aside(path) as partial, partial.open("wb") as file:
        for key, position, record in _records(source, spec, quarantined):
            if len(record["labels"]) != len(names):
                raise ValueError(
                    f"{source.name} has {len(names)} label_names and gave "
                    f"{len(record['labels'])} labels of an image"
                )
            data = encode_record(record)
            framed = frame(data)
            file.write(framed)
            digest.update(framed)
            file_bytes += len(framed)
            kept.append(key)
            positions.append(position)
            sizes.append(len(data))
            labels.append(record["labels"])
            sentences.append(len(record["sentences"]))
            hashes.append(record["image_hash"])
    size = np.array(sizes, np.int64)
    start = np.cumsum(HEADER + size + FOOTER) - (size + FOOTER)
    folder_layout.write_arrays(
        folder_layout.shard_index_path(folder, spec.name, spec.split, spec.shard, spec.shards),
        spec=np.array(spec.hash),
        sha256=np.array(digest.hexdigest()),
        bytes=np.array(file_bytes, np.int64),
        start=start,
        size=size,
        position=np.array(positions, np.int64),
        labels=np.array(labels, np.int8).reshape(len(kept), len(names)),
        sentences=np.array(sentences, np.int32),
        study_id=np.array([key.study_id for key in kept], str),
        patient_id=np.array([key.patient_id for key in kept], str),
        image_hash=np.array(hashes, np.uint64).reshape(len(kept), 4),
        dropped=np.zeros((0, 4), np.int64),  # `duplicates.drop_duplicates` writes it
        quarantined_id=np.array([q[0] for q in quarantined], str),
        quarantined_position=np.array([q[1] for q in quarantined], np.int64),
        quarantined_reason=np.array([q[2] for q in quarantined], str),
    )


def is_finished(spec: ShardSpec, folder: epath.Path) -> bool:
    """Whether the shard is there, whole. Raises BadInput if one of other settings is."""
    index_path = folder_layout.shard_index_path(
        folder, spec.name, spec.split, spec.shard, spec.shards
    )
    if not index_path.exists():
        return False
    index = folder_layout.read_arrays(index_path)
    if str(index["spec"]) != spec.hash:
        raise BadInput(
            "other_settings",
            f"{index_path} was prepared from other images or with other settings: choose another "
            "--out-dir, or delete this one",
        )
    path = folder / folder_layout.shard_name(spec.name, spec.split, spec.shard, spec.shards)
    return path.exists() and path.stat().length == int(index["bytes"])
