"""The paper's network: convolutions, a GRU over their maps, a head that gives centres, then widths, then weights.

The GRU takes one output map of the convolutions after the other: the sequence runs over the maps, a map is what it sees at
a time. Not printed, so chosen here: no padding, no stride in A; h is the last hidden states of the upper of the two layers,
forwards and backwards (256 numbers); hidden layers of the head are leaky ReLUs as those of the convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdl_bluesky.errors import OutOfRange, UnknownName

SLOPE = 0.01
"""Of the leaky ReLU."""
FLOOR = 1e-4
"""Least standard deviation, as a part of the range of a density: a likelihood without one has no largest value."""
LOG_2_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Layout:
    """Size of a network, and which parts it has.

    Attributes:
        convolutions: (maps, kernel, stride) of each.
        spread_hidden, weight_hidden: hidden layers of the heads for the widths and the weights.
        components: of the mixture.
        recurrent: False: the maps go to the head as they are (the ablation "CNN").
        density: False: centres alone, for a regression to a point by least squares; one component.
        hidden, stacked: states of the GRU in each direction, and its layers.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    spread_hidden: tuple[int, ...]
    weight_hidden: tuple[int, ...]
    components: int
    recurrent: bool = True
    density: bool = True
    hidden: int = 128
    stacked: int = 2

    def __post_init__(self) -> None:
        if self.components < 1 or (self.components > 1 and not self.density):
            raise OutOfRange(f"{self.components} components: a mixture has 1 or more, a regression to a point has 1")

    def map_length(self, inputs: int) -> int:
        """What the convolutions leave of so many inputs.

        Raises:
            OutOfRange: nothing.
        """
        length = inputs
        for _, kernel, stride in self.convolutions:
            length = (length - kernel) // stride + 1
        if length < 1:
            raise OutOfRange(f"{inputs} bins are fewer than the convolutions take: widen the region of interest")
        return length


_LONG = tuple(zip((55, 50, 45, 35, 30, 25), (15, 12, 10, 7, 5, 3), (1, 2, 1, 2, 1, 2), strict=True))
LAYOUTS = {
    "A": Layout(tuple(zip((45, 35, 30, 25), (7, 5, 5, 3), (1, 1, 1, 1), strict=True)), (300,), (), 1),
    "B": Layout(_LONG, (800,), (100,), 8),
    "C": Layout(_LONG, (800,), (100,), 10),
}


def layout_of(name: str) -> Layout:
    """The network of a published set.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in LAYOUTS:
        raise UnknownName("published network", name, tuple(LAYOUTS))
    return LAYOUTS[name]


@dataclass(frozen=True, eq=False)
class Terms:
    """A mixture of Gaussians without correlation (eqs 5, 6), for a batch.

    Attributes:
        log_weight: ln pi [b, m].
        centre: mu [b, m, d].
        spread: sigma [b, m, d]; 0 for a regression to a point.
    """

    log_weight: Tensor
    centre: Tensor
    spread: Tensor

    def negative_log_density(self, y: Tensor) -> Tensor:
        """-ln p(y) [b] of scaled densities [b, d], by the log of the sum of exponentials (eqs 7, 8)."""
        off = (y[:, None] - self.centre) / self.spread
        each = self.log_weight - self.spread.log().sum(-1) - 0.5 * (off * off).sum(-1) - 0.5 * y.shape[1] * LOG_2_PI
        return -torch.logsumexp(each, 1)


class PublishedNetwork(nn.Module):
    """Inputs [b, bin] to `Terms` of d densities.

    Raises:
        OutOfRange: there are fewer bins than the convolutions take.
    """

    def __init__(self, layout: Layout, inputs: int, densities: int) -> None:
        super().__init__()
        self.layout, self.inputs, self.densities = layout, inputs, densities
        length, parts, before = layout.map_length(inputs), list[nn.Module](), 1
        for maps, kernel, stride in layout.convolutions:
            parts += [nn.Conv1d(before, maps, kernel, stride), nn.LeakyReLU(SLOPE)]
            before = maps
        self.convolutions = nn.Sequential(*parts)
        summary = 2 * layout.hidden if layout.recurrent else before * length
        m, every = layout.components, layout.components * densities
        if layout.recurrent:
            self.gru = nn.GRU(length, layout.hidden, layout.stacked, batch_first=True, bidirectional=True)
        self.centre = nn.Linear(summary, every)
        if layout.density:
            self.spread = _perceptron(summary + every, layout.spread_hidden, every)
            self.weight = _perceptron(summary + 2 * every, layout.weight_hidden, m)

    def summary(self, inputs: Tensor) -> Tensor:
        """h [b, summary]."""
        maps = self.convolutions(inputs[:, None])
        if not self.layout.recurrent:
            return maps.flatten(1)
        _, states = self.gru(maps)
        return torch.cat([states[-2], states[-1]], 1)

    def forward(self, inputs: Tensor) -> Terms:
        """See the class."""
        h = self.summary(inputs)
        centre = self.centre(h)
        shape = (len(h), self.layout.components, self.densities)
        if not self.layout.density:
            return Terms(centre.new_zeros(shape[:2]), centre.view(shape), torch.zeros_like(centre).view(shape))
        spread = nn.functional.softplus(self.spread(torch.cat([h, centre], 1))) + FLOOR
        weight = torch.log_softmax(self.weight(torch.cat([h, centre, spread], 1)), 1)
        return Terms(weight, centre.view(shape), spread.view(shape))

    def loss(self, inputs: Tensor, y: Tensor) -> Tensor:
        """Mean of -ln p, or of the squared error for a regression to a point."""
        terms = self(inputs)
        if self.layout.density:
            return terms.negative_log_density(y).mean()
        return ((terms.centre[:, 0] - y) ** 2).mean()


def _perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    parts, before = list[nn.Module](), inputs
    for width in hidden:
        parts += [nn.Linear(before, width), nn.LeakyReLU(SLOPE)]
        before = width
    return nn.Sequential(*parts, nn.Linear(before, outputs))
