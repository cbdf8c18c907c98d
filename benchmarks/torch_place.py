"""PLACE's model and losses in PyTorch, for benchmarks/gpu_step.py to race against.

The shapes, the hidden patches, the masks and the three losses are those of place_jax; attention is
PyTorch's fused one, the towers run in bfloat16 by autocast, the losses in float32. No weights are
shared: it is the time that is compared.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Multi-head, from x to a context."""

    def __init__(self, width, heads, context_width=None):
        super().__init__()
        context_width = context_width or width
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, context, mask=None):
        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        key, value = self.key_value(context).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(split(self.query(x)), split(key), split(value), mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Self-attention, cross-attention where there is a context, MLP; pre- or post-norm."""

    def __init__(self, width, heads, mlp_dim, *, post=False, context_width=None):
        super().__init__()
        self.post = post
        self.attention = Attention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.crosses = context_width is not None
        if self.crosses:
            self.cross = Attention(width, heads, context_width)
            self.cross_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, width))
        self.mlp_norm = nn.LayerNorm(width)

    def _residual(self, x, norm, f):
        return norm(x + f(x)) if self.post else x + f(norm(x))

    def forward(self, x, mask=None, context=None, context_mask=None):
        x = self._residual(x, self.norm, lambda y: self.attention(y, y, mask))
        if self.crosses:
            x = self._residual(x, self.cross_norm, lambda y: self.cross(y, context, context_mask))
        return self._residual(x, self.mlp_norm, self.mlp)


def stack(part, **kwargs):
    return nn.ModuleList(
        Block(part.width, part.heads, part.mlp_dim, **kwargs) for _ in range(part.depth)
    )


class Place(nn.Module):
    """Both towers, the observation extractor, the correlation decoder, the projections."""

    def __init__(self, config, vocab_size):
        super().__init__()
        model, self.config = config.model, config
        image, text = model.image, model.text
        observation, correlation = model.observation, model.correlation
        self.patch = image.patch_size
        self.patches = (config.data.crop_size // self.patch) ** 2
        self.embed = nn.Linear(self.patch**2, image.width)
        self.position = nn.Parameter(0.02 * torch.randn(self.patches, image.width))
        self.class_token = nn.Parameter(0.02 * torch.randn(image.width))
        self.image_blocks, self.image_norm = stack(image), nn.LayerNorm(image.width)
        self.words = nn.Embedding(vocab_size, text.width)
        self.text_position = nn.Embedding(text.max_positions, text.width)
        self.text_norm = nn.LayerNorm(text.width)
        self.text_blocks = stack(text, post=True)
        self.queries = nn.Parameter(torch.randn(observation.num_queries, observation.width))
        self.observation_blocks = stack(observation, context_width=image.width)
        self.observation_norm = nn.LayerNorm(observation.width)
        self.decoder_embed = nn.Linear(image.width, correlation.width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(correlation.width))
        self.decoder_position = nn.Parameter(0.02 * torch.randn(self.patches, correlation.width))
        self.decoder_blocks = stack(correlation, context_width=text.width)
        self.decoder_norm = nn.LayerNorm(correlation.width)
        self.factors = nn.Linear(correlation.width, correlation.rank)
        self.to_joint = nn.ModuleDict(
            {
                name: nn.Linear(width, model.joint_dim)
                for name, width in {
                    "image": image.width,
                    "v_por": observation.width,
                    "report": text.width,
                    "t_por": text.width,
                }.items()
            }
        )
        self.log_scale = nn.Parameter(torch.full((2,), 2.659))  # log(1 / 0.07)

    def encode(self, patches, visible=None):
        x = self.embed(patches) + self.position
        if visible is not None:
            x = torch.gather(x, 1, visible[..., None].expand(-1, -1, x.shape[-1]))
        x = torch.cat([self.class_token.expand(len(x), 1, -1).to(x.dtype), x], dim=1)
        for block in self.image_blocks:
            x = block(x)
        return self.image_norm(x)[:, 1:]

    def read(self, tokens, sentence):
        index = torch.arange(tokens.shape[1], device=tokens.device)
        present = (sentence > 0) | (index == 0)
        same = (sentence[:, :, None] == sentence[:, None, :]) & (sentence > 0)[:, None, :]
        mask = same | ((index == 0)[:, None] & present[:, None, :])
        mask |= torch.eye(len(index), dtype=torch.bool, device=tokens.device)
        x = self.text_norm(self.words(tokens) + self.text_position(index))
        for block in self.text_blocks:
            x = block(x, mask[:, None])
        return x, present

    def project(self, name, x):
        with torch.autocast("cuda", enabled=False):
            return F.normalize(self.to_joint[name](x.float()), dim=-1)

    def forward(self, batch):
        """The loss of PLACE on one batch."""
        image, p = batch["image"], self.patch
        side = image.shape[1] // p
        patches = (
            image.float().reshape(-1, side, p, side, p).transpose(2, 3).flatten(3).flatten(1, 2)
        )
        pixels = patches / 127.5 - 1
        tokens = self.encode(pixels)
        states, present = self.read(batch["tokens"], batch["sentence_of_token"])
        x = self.queries.expand(len(tokens), -1, -1)
        for block in self.observation_blocks:
            x = block(x, context=tokens)
        sentences = batch["sentence_mask"].shape[1]
        numbers = torch.arange(1, sentences + 1, device=x.device)
        member = (batch["sentence_of_token"][:, None] == numbers[:, None]).float()
        t_por = member @ states.float() / member.sum(-1, keepdim=True).clamp(min=1)
        embedded = {
            "image": self.project("image", tokens.float().mean(1)),
            "report": self.project("report", states[:, 0]),
            "v_por": self.project("v_por", self.observation_norm(x)),
            "t_por": self.project("t_por", t_por),
        }
        noise = torch.rand(len(tokens), self.patches, device=x.device)
        order = noise.argsort(1)
        kept = self.patches - round(self.patches * self.config.model.correlation.mask_ratio)
        visible = order[:, :kept].sort(1).values
        y = self.decoder_embed(self.encode(pixels, visible))
        whole = self.mask_token.to(y.dtype).expand(len(y), self.patches, -1).clone()
        whole = whole.scatter(1, visible[..., None].expand(-1, -1, y.shape[-1]), y)
        whole = whole + self.decoder_position
        for block in self.decoder_blocks:
            whole = block(whole, context=states, context_mask=present[:, None, None])
        factors = F.normalize(self.factors(self.decoder_norm(whole)).float(), dim=-1)
        hidden = torch.ones_like(noise, dtype=torch.bool).scatter(1, visible, False)
        with torch.autocast("cuda", enabled=False):
            return (
                self.instance(embedded, batch)
                + self.config.loss.lambda_p * self.pathological(embedded, batch)
                + self.config.loss.lambda_c * self.correlation(patches, factors, hidden)
            )

    def instance(self, embedded, batch):
        report = batch["report_statement"]
        positives = (report[:, None] == report[None]).all(-1)
        logits = self.log_scale[0].exp() * embedded["image"] @ embedded["report"].T
        return (contrast(logits, positives).mean() + contrast(logits.T, positives).mean()) / 2

    def pathological(self, embedded, batch):
        tau, t_por = self.config.loss.tau_m, embedded["t_por"].flatten(0, 1)
        cosine = torch.einsum("bqe,te->bqt", embedded["v_por"], t_por)
        logits = self.log_scale[1].exp() * tau * torch.logsumexp(cosine / tau, 1)
        statement, mask = batch["statement"], batch["sentence_mask"].flatten()
        flat = statement.flatten(0, 1)
        times = sum((row[:, None] == flat[None]).all(-1).int() for row in statement.unbind(1))
        count = times.sum(0).clamp(min=1)
        weight = torch.where(mask, 1 / count, 0.0)
        positives = (times > 0) & mask
        of_sentences = (contrast(logits.T, positives.T) * weight).sum() / weight.sum()
        return (of_sentences + contrast(logits, positives, weight).mean()) / 2

    def correlation(self, patches, factors, hidden):
        centred = patches - patches.mean(-1, keepdim=True)
        norm = centred.norm(dim=-1, keepdim=True)
        flat = norm < self.patch
        centred = torch.where(flat, 0.0, centred / norm.clamp(min=1e-6))
        error = factors @ factors.transpose(1, 2) - centred @ centred.transpose(1, 2)
        textured = ~flat[..., 0]
        scored = hidden[:, :, None] | hidden[:, None]
        scored &= textured[:, :, None] & textured[:, None]
        scored &= ~torch.eye(self.patches, dtype=torch.bool, device=error.device)
        loss = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
        return (loss * scored).sum() / scored.sum().clamp(min=1)


def contrast(logits, positives, weight=None):
    """Minus the mean log-probability of each row's positives among weighed columns."""
    weight = torch.ones_like(logits[0]) if weight is None else weight
    total = torch.logsumexp(
        logits.masked_fill(weight == 0, -torch.inf) + weight.clamp(min=1e-9).log(), 1
    )
    chosen = positives * weight
    return total - (chosen * logits).sum(1) / chosen.sum(1).clamp(min=1e-9)
