"""`place zero-shot`, `place ground` and `place embed`: a checkpoint on a user's own images."""

import pathlib
import sys
from collections.abc import Callable

NOTICE = "Research software, not a medical device: not for the care of any patient."
_MAPS = ("evidence", "attention", "similarity")


def add(verbs, add_verb: Callable) -> None:
    """Adds the verbs to the parser of `place`."""
    parser = add_verb(
        verbs,
        "zero-shot",
        _zero_shot,
        f"how well images fit prompts. {NOTICE}",
        'place zero-shot a.dcm b.png --checkpoint RUN --prompt "pleural effusion" '
        '--negative "no pleural effusion"',
    )
    _add_images(parser)
    parser.add_argument(
        "--prompt", nargs="+", required=True, metavar="TEXT", help="one column of scores each"
    )
    parser.add_argument(
        "--negative",
        nargs="+",
        metavar="TEXT",
        help="one for each prompt that says the contrary: the score is then of the pair, 0 to 1",
    )
    parser.add_argument(
        "--calibration",
        metavar="JSON",
        help="of pairs: what `place evaluate zero-shot --out JSON` fitted on validation labels",
    )
    parser.add_argument("--out", help="a CSV file for the scores")

    parser = add_verb(
        verbs,
        "ground",
        _ground,
        f"where in an image the model sees what a text says, as a picture. {NOTICE}",
        'place ground a.dcm --text "left pleural effusion" --checkpoint RUN --out MAP.png',
    )
    parser.add_argument("image", metavar="IMAGE", help="DICOM, PNG or JPEG")
    parser.add_argument("--text", required=True)
    parser.add_argument("--checkpoint", required=True, help="a workdir, or a checkpoints/STEP")
    parser.add_argument(
        "--map",
        choices=_MAPS,
        default=_MAPS[0],
        help="evidence: how much a place adds to the match with the V-PORs (default); their "
        "attention; or similarity of each patch",
    )
    parser.add_argument("--out", required=True, metavar="MAP.png", help="a PNG file, or .npy")

    parser = add_verb(
        verbs,
        "embed",
        _embed,
        f"embeddings of images as NumPy arrays. {NOTICE}",
        "place embed FOLDER --checkpoint RUN --out embeddings.npz",
    )
    _add_images(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="encoded at once (32)")
    parser.add_argument("--out", required=True, metavar="FILE.npz")


def _add_images(parser) -> None:
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="DICOM, PNG or JPEG; a folder; a CSV of paths"
    )
    parser.add_argument("--image-column", help="of the CSV (image, path, filename or file)")
    parser.add_argument("--checkpoint", required=True, help="a workdir, or a checkpoints/STEP")


def _zero_shot(arguments) -> int:
    import csv

    from place_jax.image_lists import find_images
    from place_jax.transfer.calibration import read_temperature

    prompts, negative = arguments.prompt, arguments.negative
    if negative and len(negative) != len(prompts):
        raise ValueError(
            f"{len(negative)} negative texts for {len(prompts)} prompts: give one for each"
        )
    if arguments.calibration and not negative:
        raise ValueError("--calibration is of pairs: give --negative texts too")
    images = find_images(arguments.images, column=arguments.image_column)
    temperature = read_temperature(arguments.calibration) if arguments.calibration else None
    predictor = _load(arguments.checkpoint)
    embeddings, kept, bad = _embed_all(predictor, images, 16)
    if negative:
        scores = predictor.pair_probability(embeddings, prompts, negative, temperature=temperature)
    else:
        scores = embeddings @ predictor.embed_texts(prompts).T
    rows = [["image", *prompts]]
    rows += [
        [str(path), *(f"{score:.4f}" for score in row)]
        for path, row in zip(kept, scores, strict=True)
    ]
    _print_table(rows)
    if negative:
        how = "calibrated" if temperature else "not calibrated"
        print(f"Each is the share of the prompt against its contrary, {how}.")
    else:
        print(
            "Cosines, no probabilities: compare images under one prompt, or give --negative texts."
        )
    if arguments.out:
        out = _prepared(arguments.out)
        with out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    print(NOTICE)
    return 1 if bad and not kept else 0


def _ground(arguments) -> int:
    import numpy as np

    predictor = _load(arguments.checkpoint)
    pixels = predictor.pixels(arguments.image)
    found = predictor.ground(pixels, arguments.text, kind=arguments.map)
    out = _prepared(arguments.out)
    if out.suffix == ".npy":
        np.save(out, found)
    else:
        from place_jax.grounding_picture import draw_grounding

        out.write_bytes(draw_grounding(pixels, found, arguments.text, kind=arguments.map))
    y, x = np.unravel_index(int(found.argmax()), found.shape)
    print(
        f"highest at x={x} y={y} of {pixels.shape[1]} x {pixels.shape[0]} pixels "
        f"({arguments.map} {found.max():.3f}, mean {found.mean():.3f}): {out}"
    )
    print(f"It is where the model found the text, no proof that something is there.\n{NOTICE}")
    return 0


def _embed(arguments) -> int:
    import numpy as np

    from place_jax.image_lists import find_images

    images = find_images(arguments.images, column=arguments.image_column)
    predictor = _load(arguments.checkpoint)
    embeddings, kept, bad = _embed_all(predictor, images, arguments.batch_size)
    out = _prepared(arguments.out)
    aside = out.with_name(f".{out.name}.partial")
    with aside.open("wb") as file:
        np.savez(
            file,
            embedding=embeddings,
            path=np.array([str(path) for path in kept]),
            left_out=np.array([str(path) for path, _ in bad], dtype=np.str_),
            reason=np.array([reason for _, reason in bad], dtype=np.str_),
            code_revision=np.array(predictor.metadata.get("code_revision", "")),
        )
    aside.replace(out)
    print(f"{len(kept)} images, {embeddings.shape[1]} numbers each, unit length: {out}")
    print(NOTICE)
    return 0


def _load(checkpoint: str):
    from place_jax.predictor import Predictor

    return Predictor.from_checkpoint(checkpoint)


def _embed_all(predictor, images, batch_size: int):
    """Embeddings [n, E], the paths that they are of, and (path, reason) of what was left out."""
    bad: list[tuple[pathlib.Path, str]] = []
    left_out = set()

    def on_bad(position: int, error) -> None:
        left_out.add(position)
        bad.append((images[position], str(error)))
        print(f"left out {images[position]}: {error}", file=sys.stderr)

    embeddings = predictor.embed_images(
        _shown(images), batch_size=batch_size, on_bad=on_bad if len(images) > 1 else None
    )
    kept = [path for position, path in enumerate(images) if position not in left_out]
    if bad:
        print(f"{len(bad)} of {len(images)} images were left out", file=sys.stderr)
    return embeddings, kept, bad


def _shown(images):
    """The images, with their count on a terminal's last line where there are many."""
    shows = sys.stderr.isatty() and len(images) > 100
    for count, image in enumerate(images, start=1):
        if shows and (count % 50 == 0 or count == len(images)):
            end = "\n" if count == len(images) else ""
            print(f"\r{count} of {len(images)} images", end=end, file=sys.stderr, flush=True)
        yield image


def _prepared(path: str) -> pathlib.Path:
    out = pathlib.Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))
