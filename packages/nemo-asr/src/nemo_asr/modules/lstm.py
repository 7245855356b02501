"""Stacks of LSTM layers, plain, with batch normalisation and with layer normalisation, batch first."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError

__all__ = ["LSTMStack", "LSTMState", "make_lstm"]

LSTMState = tuple[Tensor, Tensor]
"""Output (B, L, H) and cell (B, L, H') of the ``L`` layers."""


class LSTMStack(nn.Module):
    """Base of the stacks: ``stack(x (B, U, D), state) -> (outputs (B, U, H), state)``.

    Attributes:
        output_size: Features of the output, ``H``.
        cell_size: Features of the cells.
        num_layers: How many layers there are.
    """

    output_size: int
    cell_size: int
    num_layers: int

    def zero_state(self, batch: int) -> LSTMState:
        """Return the state before the first step."""
        like = next(self.parameters())
        return (
            like.new_zeros(batch, self.num_layers, self.output_size),
            like.new_zeros(batch, self.num_layers, self.cell_size),
        )


class PlainLSTM(LSTMStack):
    """PyTorch's LSTM, with dropout after every layer.

    Args:
        input_size: Features that come in.
        hidden_size: Features of the cells.
        num_layers: How many layers there are.
        dropout: Probability of dropout.
        proj_size: Features of the outputs, where they are to be fewer than ``hidden_size``; 0: no projection.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float, proj_size: int) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, dropout=between, proj_size=proj_size)
        self.dropout = nn.Dropout(dropout)
        self.num_layers, self.output_size, self.cell_size = num_layers, proj_size or hidden_size, hidden_size

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return the outputs (B, U, H) and the state after them."""
        if x.shape[1] == 1 and not self.training and not self.lstm.proj_size:
            return self._step(x.squeeze(1), state)
        # cuDNN wants contiguous states; with one layer they are, as they are.
        hidden, cell = (part.transpose(0, 1).contiguous() for part in state)
        outputs, (hidden, cell) = self.lstm(x, (hidden, cell))
        return self.dropout(outputs), (hidden.transpose(0, 1), cell.transpose(0, 1))

    def _step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return the same for one step (B, D), cell by cell: the whole LSTM packs its weights anew in every call."""
        hiddens, cells = [], []
        for weights, hidden, cell in zip(self.lstm.all_weights, state[0].unbind(1), state[1].unbind(1), strict=True):
            x, cell = torch.lstm_cell(x, (hidden, cell), *weights)
            hiddens.append(x)
            cells.append(cell)
        return x.unsqueeze(1), (torch.stack(hiddens, dim=1), torch.stack(cells, dim=1))


class _Normed(nn.Module):
    """One layer of :class:`BatchNormLSTM`."""

    def __init__(self, input_size: int, hidden_size: int, normalize: bool) -> None:
        super().__init__()
        # The offset of the norm stands in for the biases of the LSTM.
        self.bn = nn.ModuleDict({"module": nn.BatchNorm1d(input_size)}) if normalize else None
        self.rnn = nn.LSTM(input_size, hidden_size, bias=not normalize, batch_first=True)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        if self.bn is not None:
            x = self.bn["module"](x.flatten(0, 1)).view_as(x)
        outputs, state = self.rnn(x, state)
        return outputs, state


class BatchNormLSTM(LSTMStack):
    """LSTM layers with batch normalisation of the input of every layer but the first, and dropout between them.

    In training its statistics are over all steps, padding included.

    Args:
        input_size: Features that come in.
        hidden_size: Features that go out.
        num_layers: How many layers there are.
        dropout: Probability of dropout.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Normed(input_size, hidden_size, normalize=False)]
        for _ in range(num_layers - 1):
            layers += [nn.Dropout(dropout)] if dropout else []
            layers += [_Normed(hidden_size, hidden_size, normalize=True)]
        self.layers = nn.ModuleList(layers)
        self.num_layers, self.output_size, self.cell_size = num_layers, hidden_size, hidden_size

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return the outputs (B, U, H) and the state after them."""
        hidden, cell = (part.transpose(0, 1).contiguous() for part in state)
        ends: list[LSTMState] = []
        for layer in self.layers:
            if isinstance(layer, _Normed):
                index = len(ends)
                x, end = layer(x, (hidden[index : index + 1], cell[index : index + 1]))
                ends.append(end)
            else:
                x = layer(x)
        hiddens, cells = zip(*ends, strict=True)
        return x, (torch.cat(hiddens).transpose(0, 1), torch.cat(cells).transpose(0, 1))


class LayerNormLSTMCell(nn.Module):
    """An LSTM cell whose gates and cell are layer-normalised (Ba, Kiros and Hinton, 2016, arXiv:1607.06450)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size).uniform_(-bound, bound))
        self.layernorm_i = nn.LayerNorm(4 * hidden_size)
        self.layernorm_h = nn.LayerNorm(4 * hidden_size)
        self.layernorm_c = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs (B, U, H) of ``x`` (B, U, D), and ``hidden`` (B, H) and ``cell`` (B, H) after them."""
        inputs = self.layernorm_i(nn.functional.linear(x, self.weight_ih))
        outputs = []
        for step in inputs.unbind(1):
            gates = step + self.layernorm_h(nn.functional.linear(hidden, self.weight_hh))
            let_in, keep, new, let_out = gates.chunk(4, dim=1)
            cell = self.layernorm_c(keep.sigmoid() * cell + let_in.sigmoid() * new.tanh())
            hidden = let_out.sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), hidden, cell


class LayerNormLSTM(LSTMStack):
    """Layers of :class:`LayerNormLSTMCell`, with dropout after each.

    Args:
        input_size: Features that come in.
        hidden_size: Features that go out.
        num_layers: How many layers there are.
        dropout: Probability of dropout.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.ModuleDict({"cell": LayerNormLSTMCell(size, hidden_size)}) for size in sizes)
        self.dropout = nn.Dropout(dropout)
        self.num_layers, self.output_size, self.cell_size = num_layers, hidden_size, hidden_size

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return the outputs (B, U, H) and the state after them."""
        hiddens, cells = [], []
        for layer, hidden, cell in zip(self.layers, state[0].unbind(1), state[1].unbind(1), strict=True):
            x, hidden, cell = layer.get_submodule("cell")(x, hidden, cell)
            x = self.dropout(x)
            hiddens.append(hidden)
            cells.append(cell)
        return x, (torch.stack(hiddens, dim=1), torch.stack(cells, dim=1))


def make_lstm(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    dropout: float = 0.0,
    normalization_mode: str | None = None,
    proj_size: int = 0,
    forget_gate_bias: float | None = 1.0,
    t_max: int | None = None,
    weights_init_scale: float = 1.0,
    hidden_hidden_bias_scale: float = 0.0,
) -> LSTMStack:
    """Make a stack of LSTM layers.

    Args:
        input_size: Features that come in.
        hidden_size: Features of the cells, and of the outputs where there is no projection.
        num_layers: How many layers there are.
        dropout: Probability of dropout.
        normalization_mode: None, ``batch`` or ``layer``.
        proj_size: Features of the outputs; 0: no projection. Only without normalisation.
        forget_gate_bias: What the forget gates' biases begin with (Jozefowicz et al., ICML 2015); None: PyTorch's own.
        t_max: If given, biases are drawn for memories of up to so many steps instead (Tallec and Ollivier, ICLR 2018,
            arXiv:1804.11188).
        weights_init_scale: Factor on all weights and biases of the plain LSTM, as they begin.
        hidden_hidden_bias_scale: Factor on the second of the two biases of the plain LSTM's forget gates.

    Raises:
        ConfigError: The settings do not go together.

    Example:
        >>> lstm = make_lstm(8, 16, num_layers=2, normalization_mode="layer")
        >>> outputs, state = lstm(torch.randn(3, 5, 8), lstm.zero_state(3))
        >>> outputs.shape, state[0].shape
        (torch.Size([3, 5, 16]), torch.Size([3, 2, 16]))
    """
    if num_layers < 1:
        raise ConfigError(f"an LSTM of {num_layers} layers", hint="give at least 1")
    if normalization_mode not in (None, "batch", "layer"):
        raise ConfigError(f"normalization_mode {normalization_mode!r} is not known", hint="null, batch or layer")
    if proj_size and normalization_mode is not None:
        raise ConfigError("an LSTM with normalisation has no projection", hint="leave rnn_hidden_size out")
    if normalization_mode == "layer":
        normed = LayerNormLSTM(input_size, hidden_size, num_layers, dropout)
        if forget_gate_bias is not None:
            for name, bias in normed.named_parameters():
                if name.endswith("layernorm_h.bias"):
                    nn.init.constant_(bias[hidden_size : 2 * hidden_size], forget_gate_bias)
        return normed
    if normalization_mode == "batch":
        stack: LSTMStack = BatchNormLSTM(input_size, hidden_size, num_layers, dropout)
    else:
        stack = PlainLSTM(input_size, hidden_size, num_layers, dropout, proj_size)
    with torch.no_grad():
        _draw_biases(stack, hidden_size, forget_gate_bias, t_max, hidden_hidden_bias_scale)
        if normalization_mode is None:
            for weight in stack.parameters():
                weight.mul_(weights_init_scale)
    return stack


def _draw_biases(
    stack: nn.Module, size: int, forget_gate_bias: float | None, t_max: int | None, second_scale: float
) -> None:
    """Draw the biases; each has those of the input, forget, cell and output gate, ``size`` of each."""
    for name, bias in stack.named_parameters():
        first = "bias_ih" in name
        if not first and "bias_hh" not in name:
            continue
        if t_max is not None:
            bias.zero_()
            if first:
                bias[size : 2 * size].uniform_(1, t_max - 1).log_()
                bias[:size] = -bias[size : 2 * size]
        elif forget_gate_bias is not None:
            forget = bias[size : 2 * size]
            forget.fill_(forget_gate_bias) if first else forget.mul_(second_scale)
