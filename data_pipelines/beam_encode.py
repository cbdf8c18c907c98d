"""The Beam pipeline that encodes shards. The one file that imports Beam at its top: import it late.

A shard is the unit of work: specifications are dealt out, and one step reads, encodes and writes a
shard whole. Nothing flows on from it, so memory does not grow with the data.

With several workers on one machine, Beam's own multi_processing mode waits for ever when a worker
process dies (measured: a worker that exits hangs the pipeline). So Beam runs a thread per worker,
and each thread hands its shards to a process of its own, whose death is an error here.
"""

import concurrent.futures
import logging
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from data_pipelines.records import BadInput, Source
from data_pipelines.shards import ShardSpec, encode_shard, start_worker


class _EncodeShard(beam.DoFn):
    def __init__(self, source: Source, out_dir: str, own_process: bool):
        self._source = source
        self._out_dir = out_dir
        self._own_process = own_process
        self._pool = None

    def setup(self):
        if self._own_process:
            # spawn: a fork would copy the locks of TensorFlow's and JAX's threads.
            self._pool = concurrent.futures.ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=start_worker
            )

    def process(self, spec: ShardSpec):
        try:
            if self._pool is None:
                encode_shard(self._source, spec, self._out_dir)
            else:
                self._pool.submit(encode_shard, self._source, spec, self._out_dir).result()
        except BadInput as error:
            # Runners hand on an error's text and not the error: `_plain` reads it back.
            raise RuntimeError(f"BadInput[{error.reason}]: {error}") from None
        except BrokenProcessPool:
            raise RuntimeError(
                "BadInput[worker_died]: a worker process died, of too little memory or because "
                "the calling script has no `if __name__ == '__main__':`: prepare with workers=1"
            ) from None

    def teardown(self):
        if self._pool is not None:
            self._pool.shutdown()


def run(
    source: Source,
    specs: Sequence[ShardSpec],
    out_dir: str,
    *,
    workers: int,
    beam_options: Sequence[str],
) -> None:
    """Encodes the shards, here with `workers` processes or on the runner that beam_options name.

    Raises:
      BadInput: where a shard could not be written; shards finished by then stay.
    """
    options = PipelineOptions(list(beam_options))
    local = options.view_as(StandardOptions).runner is None
    if local:
        # Named: Beam's default local runner would look for a program to download.
        # in_memory runs a thread per worker and needs no network, not even to this machine.
        options = PipelineOptions(
            [*beam_options, "--direct_running_mode=in_memory", f"--direct_num_workers={workers}"]
        )
    runner = FnApiRunner() if local else options.view_as(StandardOptions).runner
    log = logging.getLogger("apache_beam")
    level = log.level
    if local:
        log.setLevel(logging.CRITICAL)  # what fails is raised below, in one line
    try:
        with beam.Pipeline(runner=runner, options=options) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(list(specs))
                | "Deal" >> beam.Reshuffle()
                | "Encode" >> beam.ParDo(_EncodeShard(source, out_dir, local and workers > 1))
            )
    except Exception as error:
        raise _plain(error) from None
    finally:
        log.setLevel(level)


def _plain(error: Exception) -> Exception:
    """The BadInput that a worker raised, freed of what Beam wraps around it; or the error."""
    found = re.search(r"BadInput\[(\w+)\]: (.*?)(?: \[while running|\n|$)", str(error))
    return BadInput(found.group(1), found.group(2)) if found else error
