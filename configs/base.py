"""Every key a place_jax config can have, with its neutral value. The experiments beside this file
start from it and say what they change; a key that is not here is an error.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """Returns all keys at their neutral values. `arg` is unused."""
    del arg
    config = ConfigDict()
    config.seed = 0
    config.objective = "place"  # place | clip | siglip | convirt | gloria | mgca

    config.data = ConfigDict()
    config.data.dir = ""  # a folder that `place prepare` wrote
    config.data.batch_size = 64  # pairs in the global batch, over all hosts
    config.data.crop_size = 224
    config.data.max_tokens = 128
    config.data.max_sentences = 8
    # both | findings | impression: which sections are read; whole reports where one has none of it.
    config.data.sections = "both"
    # sampled | first: which sentences of too long a report are kept. [ours] sampled anew at every
    # step, so that none is never read.
    config.data.sentences = "sampled"
    config.data.shuffle_pairs = False  # a control: each image with another patient's report

    config.model = ConfigDict()
    config.model.joint_dim = 128
    config.model.dtype = "float32"  # of the towers' products: float32 | bfloat16 | float64
    config.model.param_dtype = "float32"
    # What kernels' gradients are summed in, over rows and devices: compute | param, their dtypes.
    config.model.gradient_sum = "compute"
    config.model.remat = "none"  # none | dots | full
    config.model.logits = "scale"  # scale | scale_and_bias: what siglip learns besides
    config.model.local = "none"  # none | projections: what gloria needs | prototypes: mgca
    config.model.num_prototypes = 500

    config.model.image = ConfigDict()
    config.model.image.stem = "patch"  # patch: one linear map | conv: 4x4 patchify, then 3x3 / 2
    config.model.image.patch_size = 16
    config.model.image.width = 768
    config.model.image.depth = 12
    config.model.image.heads = 12
    config.model.image.mlp_dim = 3072
    config.model.image.weights = ""  # a Hugging Face ViT folder or .safetensors, or none

    config.model.text = ConfigDict()
    config.model.text.context = "sentence"  # sentence | report
    config.model.text.vocab_size = 0  # 0: as many as the data's vocabulary
    config.model.text.max_positions = 512
    config.model.text.width = 768
    config.model.text.depth = 12
    config.model.text.heads = 12
    config.model.text.mlp_dim = 3072
    config.model.text.weights = ""  # a Hugging Face BERT folder or .safetensors, or none

    config.model.observation = ConfigDict()  # VPOE
    config.model.observation.num_queries = 32
    config.model.observation.width = 768
    config.model.observation.depth = 2
    config.model.observation.heads = 12
    config.model.observation.mlp_dim = 3072
    config.model.observation.query_init = "orthogonal"  # orthogonal | normal
    # none | learned: a V-POR that is no image's, for "compared with the prior study" [ours].
    config.model.observation.null = "none"
    # encoder | stem: tokens that have seen the whole image, or those before any attention, of which
    # a V-POR can only tell what it looked at [ours; stem wants a stem that sees more than a line].
    config.model.observation.reads = "encoder"
    # How many times larger than usual the scores of the queries' attention start. At 1 they look
    # everywhere alike, and V-PORs with them [ours].
    config.model.observation.sharpness = 1.0
    # How far apart the queries' V-PORs start, in standard deviations over images; set when
    # train.calibrate is [ours].
    config.model.observation.separation = 0.0
    config.model.observation.competition = "none"  # none | slots: softmax over queries first

    config.model.correlation = ConfigDict()  # CCE
    config.model.correlation.rank = 64
    config.model.correlation.width = 512
    config.model.correlation.depth = 2
    config.model.correlation.heads = 8
    config.model.correlation.mlp_dim = 2048
    # A large block of brightness is what a report adds most to; of scattered patches the neighbours
    # tell all, and of texture a report says next to nothing [ours, measured: docs/method.md].
    config.model.correlation.mask_ratio = 0.75  # 0 to 1; at 1 only the report tells
    config.model.correlation.hide_layout = "block"  # scattered | block | side
    config.model.correlation.hide_at = "input"  # input | stem | blocks: where in the encoder
    config.model.correlation.condition = "report"  # report | none
    config.model.correlation.target = "pixels"  # pixels | ema_features (needs train.ema_decay)
    config.model.correlation.centre = "image"  # of pixels: patch | image
    config.model.correlation.statistic = "correlation"  # correlation | covariance
    # low_rank_plus_diagonal | low_rank (unit rows) | free (of a covariance)
    config.model.correlation.form = "low_rank_plus_diagonal"
    # zero | mean: what is predicted first, nothing or the mean matrix of the first batch, which
    # training would else be busy with [ours; mean needs train.calibrate].
    config.model.correlation.start = "zero"

    config.loss = ConfigDict()
    config.loss.lambda_p = 1.0
    config.loss.lambda_c = 1.0
    config.loss.lambda_p_warmup_steps = 0  # PCMA's weight grows linearly over these steps
    # PCMA. [paper] V-PORs and T-PORs are aligned with no labels; [ours] how, hence these switches.
    # softmax | max | one_to_one: softly, so that every query learns; the best alone; or a report's
    # sentences share out the queries.
    config.loss.match = "softmax"
    config.loss.tau_m = 0.1  # temperature of the soft match over queries; to 0 it is the maximum
    # batch: images are contrasted. report: a report's sentences among themselves, a baseline of
    # the peers that is won without the image.
    config.loss.scope = "batch"
    # statement: a sentence is true of every image whose report says the same. own: of one alone,
    # and half of the batch are wrong negatives of "no pleural effusion".
    config.loss.positives = "statement"
    # inverse_frequency: a statement counts once, however often it is made. uniform: each time.
    config.loss.sentence_weights = "inverse_frequency"
    # How a device scores its rows against the whole batch's columns: auto, all at once until that
    # passes memory_bytes | gathered, all at once | chunked, in blocks that are computed twice.
    config.loss.contrast = "auto"
    config.loss.memory_bytes = 2**30  # that the scores of one loss may take at once on a device
    config.loss.query_diversity = 0.0  # weight of the squared cosine between queries' V-PORs
    # ITA. positives | negatives: what a report equal to an image's own is to it. [ours] 23 % of
    # Open-i's reports equal another.
    config.loss.equal_reports = "positives"
    config.loss.instance_scale = "learned"  # learned | fixed, at 1 / 0.07
    config.loss.attention_diversity = 0.0  # weight of the overlap between queries' attention
    config.loss.correlation_pairs = "hidden"  # hidden: one of the two or both | both_hidden | all
    config.loss.convirt_temperature = 0.1
    config.loss.convirt_image_weight = 0.75  # of finding an image's report; the rest, its image
    config.loss.protocol = "strict"  # of gloria and mgca: strict | mgca_compat, as their code is
    config.loss.prototype_freeze_steps = 0  # of mgca; in the peers' recipe one epoch

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 0
    config.optimizer.weight_decay = 0.05
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.98
    config.optimizer.clip_norm = 1.0
    config.optimizer.end_fraction = 0.01  # learning rate at the end, as a fraction of its peak

    config.train = ConfigDict()
    config.train.steps = 1000
    config.train.log_every = 50
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    config.train.keep_checkpoints = 2
    config.train.max_bad_steps = 10
    # Parts that the batch goes through the model in, one after another; the loss is the whole's.
    config.train.accumulation = 1
    config.train.hang_seconds = 1800.0  # a step this long dumps its stacks and ends; 0: never
    config.train.compilation_cache = ""  # a folder that compiled steps are kept in between runs
    config.train.profile_from = 10  # the first step of a profiler trace into WORKDIR/profile
    config.train.profile_steps = 0  # how many it has; 0: none is made
    config.train.ema_decay = 0.0  # 0: no moving average of the parameters is kept
    config.train.calibrate = True  # centre and scale both projections on the first batch

    config.mesh = ConfigDict()  # one axis may be -1: whatever devices remain
    config.mesh.replica = 1
    config.mesh.data = -1
    config.mesh.fsdp = 1
    config.mesh.tensor = 1

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 64
    config.evaluation.max_examples = 0  # 0: all; in-loop evaluation reads the validation split
    config.evaluation.retrieval_pool = 256
    config.evaluation.bootstrap = 1000
    config.evaluation.include_examples = False  # images and texts of data that may not be shared
    return config
