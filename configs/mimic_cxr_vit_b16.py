r"""PLACE on MIMIC-CXR with ViT-B/16 and BioClinicalBERT: the setting that the field compares by.

    place train --config mimic_cxr_vit_b16 --workdir /mnt/BUCKET/RUN \
        --config.data.dir=/mnt/BUCKET/DATA \
        --config.model.image.weights=VIT_FOLDER --config.model.text.weights=BIOCLINICALBERT_FOLDER

It has not been run on MIMIC-CXR: there is no measured score to give. Values are marked [paper]
where the abstract or summaries of arXiv 2506.10573 state them, [peers] where they are the common
recipe of the field (MGCA and its followers), and [ours] where neither says. Plain, it is meant for
a TPU slice of 16 chips or more; `:HARDWARE`, such as `:v5e_2x2` or `:gpu_80gb`, lays the same
training out for what is named. `:smoke` shrinks it to a two-step run for tests.
"""

from ml_collections import ConfigDict

from place_jax.configs import base, phantom_demo

# Hardware -> how the step is laid out on it, never what is learned: the batch of 512, its negatives
# and the schedule stay, so that the losses agree to rounding. TPUs: each has been compiled for its
# slice (benchmarks/pod_plans). GPUs: one of that memory, by the TPU plans' 0.08 GiB a
# pair at a time and 3 GiB besides less than half full; not run.
HARDWARE = {
    "v5e_1x1": {"train.accumulation": 8},
    "v5e_2x2": {"train.accumulation": 2},
    "v5e_2x4": {},
    "v5e_4x4": {},
    "v5e_16x16": {},
    "v6e_1x1": {"train.accumulation": 4},
    "v6e_2x4": {},
    "v4_2x2x1": {},
    "v5p_2x2x1": {},
    "tpu7x_2x2x1": {},
    "gpu_80gb": {"train.accumulation": 2},
    "gpu_24gb": {"train.accumulation": 8},
}


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config. `arg` is "", "smoke" or one of HARDWARE."""
    config = base.get_config()
    # [paper] instance-level, pathological-level and correlation terms together.
    config.objective = "place"

    # [ours] 512 pairs in the global batch: about 420 steps an epoch on the frontal images of
    # MIMIC-CXR. The peers contrast within 72 pairs; 16,384 would leave fifteen steps an epoch.
    config.data.batch_size = 512
    # [peers] long side 256, padded, random crop 224; no flips, which would swap the sides.
    config.data.crop_size = 224
    # [ours] the peers cut at 112 word pieces; whole sentences are dropped here instead, so a
    # little more room loses fewer of them.
    config.data.max_tokens = 128
    # [ours] 97 % of the 1,979 reports of Open-i that we cut have 10 sentences or fewer (median 5,
    # 95th percentile 10); of the others a step leaves some out, 1.4 % of all sentences.
    config.data.max_sentences = 10

    config.model.joint_dim = 128  # [peers] the joint width of ConVIRT's followers.
    config.model.dtype = "bfloat16"  # [ours] the towers' products; losses stay in float32.
    config.model.remat = "dots"  # [ours] fits 16 GiB chips with room.
    # [peers] ViT-B/16: the base values of model.image are its own. BERT-base likewise.
    config.model.text.context = "sentence"  # [ours] a T-POR must not carry its report's identity.
    config.model.observation.num_queries = 32  # [ours] the number of queries is not published.
    config.model.observation.depth = 2  # [ours]
    config.model.correlation.rank = 64  # [ours]
    config.model.correlation.mask_ratio = 0.75  # [ours] without hiding, the report adds nothing.

    config.loss.lambda_p = 1.0  # [ours] the weights are not published.
    config.loss.lambda_c = 1.0  # [ours]
    config.loss.tau_m = 0.1  # [ours]
    # [ours] ITA leaves its plateau first; the observations' queries then have something to match.
    config.loss.lambda_p_warmup_steps = 1000

    # [ours] 1e-4 at batch 512, to be scaled by the square root of the batch (AdamW): the peers'
    # 2e-5 at batch 144 is 4e-5 by that rule, for encoders that are both pre-trained.
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 2000  # [ours]
    config.optimizer.weight_decay = 0.05  # [peers]
    config.optimizer.b2 = 0.98  # [ours] steadier than 0.999 under large contrastive batches.

    config.train.steps = 21000  # [peers] 50 epochs at this batch.
    config.train.log_every = 100
    config.train.eval_every = 1000
    config.train.checkpoint_every = 1000
    config.evaluation.batch_size = 512
    config.evaluation.retrieval_pool = 1000

    if arg == "smoke":
        phantom_demo.shrink(config)
        _shrink_model(config)
    elif arg:
        if arg not in HARDWARE:
            raise ValueError(
                f"mimic_cxr_vit_b16:{arg} is not known: use it plain, or with :smoke or one of "
                f"{', '.join(HARDWARE)}"
            )
        config.update_from_flattened_dict(HARDWARE[arg])
    return config


def _shrink_model(config: ConfigDict) -> None:
    for tower in (config.model.image, config.model.text):
        tower.width, tower.depth, tower.heads, tower.mlp_dim = 32, 2, 2, 64
    for part in (config.model.observation, config.model.correlation):
        part.width, part.depth, part.heads, part.mlp_dim = 32, 1, 2, 64
    config.model.observation.num_queries = 4
    config.model.correlation.rank = 8
    config.model.joint_dim = 16
    config.loss.lambda_p_warmup_steps = 1
