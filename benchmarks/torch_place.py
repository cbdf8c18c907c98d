"""PLACE's model and losses in PyTorch, for benchmarks/gpu_step.py to race against.

The shapes, the hidden patches, the masks and the three losses are those of place_jax, and so are
the names of the parts: `load` takes the parameters of a place_jax model, every one of them, and
the losses are then the same. Attention is PyTorch's fused one, with queries, keys and values in
one product where they are of one input; the towers run in bfloat16 by autocast, the losses in
float32.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

_EPSILON = 1e-12  # of layer norms, as in place_jax


class Attention(nn.Module):
    """Multi-head, of x to itself or to a context."""

    def __init__(self, width, heads, context_width=None):
        super().__init__()
        self.heads = heads
        if context_width is None:
            self.query_key_value = nn.Linear(width, 3 * width)
        else:
            self.query = nn.Linear(width, width)
            self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, context=None, mask=None):
        if context is None:
            parts = self.query_key_value(x).chunk(3, dim=-1)
        else:
            parts = (self.query(x), *self.key_value(context).chunk(2, dim=-1))
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear maps with a GELU between."""

    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """Self-attention, cross-attention where there is a context, MLP; pre- or post-norm."""

    def __init__(self, part, *, post=False, context_width=None):
        super().__init__()
        self.post = post
        self.attention = Attention(part.width, part.heads)
        self.attention_norm = norm(part.width)
        self.crosses = context_width is not None
        if self.crosses:
            self.cross_attention = Attention(part.width, part.heads, context_width)
            self.cross_attention_norm = norm(part.width)
        self.mlp = Mlp(part.width, part.mlp_dim)
        self.mlp_norm = norm(part.width)

    def _residual(self, x, norm, f):
        return norm(x + f(x)) if self.post else x + f(norm(x))

    def forward(self, x, mask=None, context=None, context_mask=None):
        x = self._residual(x, self.attention_norm, lambda y: self.attention(y, mask=mask))
        if self.crosses:
            x = self._residual(
                x,
                self.cross_attention_norm,
                lambda y: self.cross_attention(y, context, context_mask),
            )
        return self._residual(x, self.mlp_norm, self.mlp)


def norm(width):
    return nn.LayerNorm(width, eps=_EPSILON)


def stack(part, **kwargs):
    return nn.ModuleList(Block(part, **kwargs) for _ in range(part.depth))


def drawn(*shape):
    return nn.Parameter(0.02 * torch.randn(*shape))


class Image(nn.Module):
    """ViT with a class token, which is not handed out."""

    def __init__(self, part, side):
        super().__init__()
        self.stem = nn.ModuleDict({"embed": nn.Linear(part.patch_size**2, part.width)})
        self.position, self.class_token = drawn(side, side, part.width), drawn(part.width)
        self.blocks, self.norm = stack(part), norm(part.width)

    def forward(self, patches, visible=None):
        x = self.stem["embed"](patches) + self.position.flatten(0, 1)
        if visible is not None:
            x = torch.gather(x, 1, visible[..., None].expand(-1, -1, x.shape[-1]))
        x = torch.cat([self.class_token.expand(len(x), 1, -1).to(x.dtype), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1:]


class Text(nn.Module):
    """BERT whose tokens attend within their sentence; the report token, at 0, to all."""

    def __init__(self, part, vocab_size):
        super().__init__()
        self.word_embedding = nn.Embedding(vocab_size, part.width)
        self.position_embedding = nn.Embedding(part.max_positions, part.width)
        self.type_embedding = nn.Embedding(2, part.width)
        self.embedding_norm = norm(part.width)
        self.blocks = stack(part, post=True)

    def forward(self, tokens, sentence):
        index = torch.arange(tokens.shape[1], device=tokens.device)
        present = (sentence > 0) | (index == 0)
        same = (sentence[:, :, None] == sentence[:, None, :]) & (sentence > 0)[:, None, :]
        mask = same | ((index == 0)[:, None] & present[:, None, :])
        mask |= torch.eye(len(index), dtype=torch.bool, device=tokens.device)
        starts = torch.where(sentence != F.pad(sentence[:, :-1], (1, 0), value=-1), index, 0)
        position = torch.where(index == 0, 0, index - starts.cummax(1).values + 1)
        x = self.word_embedding(tokens) + self.position_embedding(position)
        x = self.embedding_norm(x + self.type_embedding.weight[0])
        for block in self.blocks:
            x = block(x, mask[:, None])
        return x, present


class Observation(nn.Module):
    """Learned queries that read the patches."""

    def __init__(self, part, image_width):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(part.num_queries, part.width))
        self.blocks, self.norm = stack(part, context_width=image_width), norm(part.width)

    def forward(self, tokens):
        x = self.queries.expand(len(tokens), -1, -1)
        for block in self.blocks:
            x = block(x, context=tokens)
        return self.norm(x)


class Correlation(nn.Module):
    """From the visible patches and the report, a row within the unit ball for each patch."""

    def __init__(self, part, image_width, text_width, side):
        super().__init__()
        self.embed = nn.Linear(image_width, part.width)
        self.mask_token, self.position = drawn(part.width), drawn(side, side, part.width)
        self.blocks, self.norm = stack(part, context_width=text_width), norm(part.width)
        self.factors = nn.Linear(part.width, part.rank)

    def forward(self, encoded, visible, states, present):
        y = self.embed(encoded)
        position = self.position.flatten(0, 1)
        x = self.mask_token.to(y.dtype).expand(len(y), len(position), -1).clone()
        x = x.scatter(1, visible[..., None].expand(-1, -1, y.shape[-1]), y) + position
        for block in self.blocks:
            x = block(x, context=states, context_mask=present[:, None, None])
        rows = self.factors(self.norm(x)).float()
        return rows * torch.rsqrt(1 + rows.square().sum(-1, keepdim=True))


class Projection(nn.Module):
    """Standardises, maps, scales to unit length; outside of autocast, in float32."""

    def __init__(self, width, joint_dim, *rows):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(*rows, width))
        self.scale = nn.Parameter(torch.ones(width))
        self.linear = nn.Linear(width, joint_dim)

    def forward(self, x):
        return F.normalize(self.linear((x.float() - self.shift) * self.scale), dim=-1)


class Place(nn.Module):
    """Both towers, the observation extractor, the correlation decoder, the projections."""

    def __init__(self, config, vocab_size):
        super().__init__()
        model, self.config = config.model, config
        image, text, observation = model.image, model.text, model.observation
        self.patch, self.side = image.patch_size, config.data.crop_size // image.patch_size
        self.image, self.text = Image(image, self.side), Text(text, vocab_size)
        self.observation = Observation(observation, image.width)
        self.correlation = Correlation(model.correlation, image.width, text.width, self.side)
        self.image_projection = Projection(image.width, model.joint_dim)
        self.report_projection = Projection(text.width, model.joint_dim)
        self.t_por_projection = Projection(text.width, model.joint_dim)
        self.v_por_projection = Projection(
            observation.width, model.joint_dim, observation.num_queries
        )
        self.logit_scale = nn.ParameterDict(
            {name: torch.tensor(2.659) for name in ("instance", "pathological")}  # log(1 / 0.07)
        )

    def forward(self, batch):
        """The loss of PLACE on one batch, with patches to hide drawn anew."""
        losses = self.losses(batch, self.draw_visible(batch["image"]))
        weights = self.config.loss
        return (
            losses["instance"]
            + weights.lambda_p * losses["pathological"]
            + weights.lambda_c * losses["correlation"]
        )

    def draw_visible(self, image):
        """[B, N - hidden] the patches of each image that stay, ascending."""
        patches = self.side**2
        settings = self.config.model.correlation
        kept = patches - round(patches * settings.mask_ratio)
        far = torch.rand(len(image), patches, device=image.device)
        if settings.hide_layout == "block":  # hidden are those nearest to a point
            lines = torch.arange(self.side, device=image.device) + 0.5
            at = torch.cartesian_prod(lines, lines)
            point = self.side * torch.rand(len(image), 1, 2, device=image.device)
            far += torch.linalg.vector_norm(at - point, dim=-1)
        return far.argsort(1, descending=True)[:, :kept].sort(1).values

    def losses(self, batch, visible):
        """The three terms by name."""
        image, p, side = batch["image"], self.patch, self.side
        patches = image.float().reshape(-1, side, p, side, p).transpose(2, 3)
        patches = patches.flatten(3).flatten(1, 2)
        pixels = patches / 127.5 - 1
        tokens = self.image(pixels)
        observations = self.observation(tokens)
        sentence = batch["sentence_of_token"]
        states, present = self.text(batch["tokens"], sentence)
        count = batch["sentence_mask"].shape[1]
        numbers = torch.arange(1, count + 1, device=image.device)
        member = (sentence[:, None] == numbers[:, None]).float()
        factors = self.correlation(self.image(pixels, visible), visible, states, present)
        hidden = torch.ones(factors.shape[:2], dtype=torch.bool, device=image.device)
        hidden = hidden.scatter(1, visible, False)
        with torch.autocast(image.device.type, enabled=False):
            t_por = member @ states.float() / member.sum(-1, keepdim=True).clamp(min=1)
            whole = self.image_projection(tokens.float().mean(1))
            report = self.report_projection(states[:, 0])
            v_por = self.v_por_projection(observations)
            t_por = self.t_por_projection(t_por)
            return {
                "instance": self._instance(whole, report, batch),
                "pathological": self._pathological(v_por, t_por, batch),
                "correlation": _correlation(
                    patches, factors, hidden, self.config.model.correlation.centre
                ),
            }

    def _scale(self, name):
        return self.logit_scale[name].clamp(0, np.log(100.0)).exp()

    def _instance(self, image, report, batch):
        identity = batch["report_statement"]
        positives = (identity[:, None] == identity[None]).all(-1)
        logits = self._scale("instance") * image @ report.T
        return (_contrast(logits, positives).mean() + _contrast(logits.T, positives).mean()) / 2

    def _pathological(self, v_por, t_por, batch):
        tau = self.config.loss.tau_m
        cosine = torch.einsum("bqe,te->bqt", v_por, t_por.flatten(0, 1))
        logits = self._scale("pathological") * tau * torch.logsumexp(cosine / tau, 1)
        statement, mask = batch["statement"], batch["sentence_mask"].flatten()
        flat = statement.flatten(0, 1)
        made = batch["sentence_mask"].int()
        times = sum(
            (row[:, None] == flat[None]).all(-1) * made[:, i, None]
            for i, row in enumerate(statement.unbind(1))
        )
        weight = torch.where(mask, 1 / times.sum(0).clamp(min=1), 0.0)
        positives = (times > 0) & mask
        of_sentences = (_contrast(logits.T, positives.T) * weight).sum() / weight.sum()
        return (of_sentences + _contrast(logits, positives, weight).mean()) / 2


def _correlation(patches, factors, hidden, centre):
    """CCE; `patches` [B, N, P] are grey levels."""
    own = patches.mean(-1, keepdim=True)
    flat = (patches - own).square().mean(-1, keepdim=True) < 1  # they spread by less than a level
    if centre == "image":
        own = torch.where(flat, 0.0, own).sum(1, keepdim=True)
        own = own / (~flat).sum(1, keepdim=True).clamp(min=1)
    centred = patches - own
    square = centred.square().sum(-1, keepdim=True)
    centred = torch.where(flat, 0.0, centred * torch.rsqrt(square.clamp(min=1e-6)))
    error = factors @ factors.transpose(1, 2) - centred @ centred.transpose(1, 2)
    textured = ~flat[..., 0]
    scored = hidden[:, :, None] | hidden[:, None]
    scored &= textured[:, :, None] & textured[:, None]
    scored &= ~torch.eye(error.shape[1], dtype=torch.bool, device=error.device)
    loss = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
    return (loss * scored).sum() / scored.sum().clamp(min=1)


def _contrast(logits, positives, weight=None):
    """Minus the mean log-probability of each row's positives among weighed columns."""
    weight = torch.ones_like(logits[0]) if weight is None else weight
    total = torch.logsumexp(
        logits.masked_fill(weight == 0, -torch.inf) + weight.clamp(min=1e-9).log(), 1
    )
    chosen = positives * weight
    return total - (chosen * logits).sum(1) / chosen.sum(1).clamp(min=1e-9)


def load(model: Place, params: Mapping[str, np.ndarray]) -> None:
    """Gives a model the parameters of a place_jax model.

    Args:
      model: of the same config.
      params: by path, such as image/blocks/mlp/up/kernel.

    Raises:
      ValueError: one is left over or missing.
    """
    used = set()

    def of(name: str, module: str) -> np.ndarray:
        *path, leaf = name.split(".")
        layer = next((int(word) for word in path if word.isdigit()), None)
        path = [word for word in path if not word.isdigit()]
        if leaf == "weight":
            leaf = {"Linear": "kernel", "LayerNorm": "scale", "Embedding": "embedding"}[module]
        fused = path[-1].split("_") if path[-1] in ("query_key_value", "key_value") else path[-1:]
        names = ["/".join([*path[:-1], part, leaf]) for part in fused]
        used.update(names)
        arrays = [params[n] if layer is None else params[n][layer] for n in names]
        value = np.concatenate(arrays, axis=-1) if len(arrays) > 1 else arrays[0]
        return value.T if leaf == "kernel" else value

    with torch.no_grad():
        for owner, module in model.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                value = of(f"{owner}.{name}" if owner else name, type(module).__name__)
                parameter.copy_(torch.from_numpy(np.array(value)))
    if left := params.keys() - used:
        raise ValueError(f"{sorted(left)} are not in the PyTorch model")
