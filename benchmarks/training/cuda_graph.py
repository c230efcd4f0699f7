"""A training step captured once and replayed: on CUDA as a graph of kernels, so that the host only says "again".

A network of 0.03 M parameters is a thousand kernels of a few microseconds, and launching each from Python takes longer
than running it. A CUDA graph launches all of them at once, with nothing copied back and no wait between two steps.

What a capture demands of the step: it reads its inputs and the tensors of the training state where they lie, it
changes that state in place, and nothing of it depends on a value that only the device knows. Every network of the
registry is held to that by `tests/test_cuda_graph.py`, without a GPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Step = Callable[..., Tensor]
"""Tensors to a tensor; whatever else it changes, it changes in place."""

WARM_UP = 3
"""Steps run eagerly before the capture, in which libraries choose kernels and the optimizer makes its moments."""


class Graph(NamedTuple):
    """A captured step: what to call, where it reads its inputs and where it leaves its output."""

    replay: Callable[[], object]
    inputs: tuple[Tensor, ...]
    output: Tensor


Capture = Callable[[Step, tuple[Tensor, ...]], Graph]
"""Captures a step on inputs that stay where they are. Nothing is executed by the capture itself."""


def cuda_graph(step: Step, inputs: tuple[Tensor, ...]) -> Graph:
    """The step as a CUDA graph, with memory of its own. Raises RuntimeError where the step waits for the device."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph):
            output = step(*inputs)
    except RuntimeError:
        torch.cuda.set_stream(stream)  # a capture that fails leaves its own
        torch.cuda.synchronize()
        raise
    return Graph(graph.replay, inputs, output)


class Captured:
    """A step that runs eagerly at first and is replayed from then on; one graph for each shape of its inputs.

    The eager steps are real ones, so that no state has to be put back. A step that cannot be captured stays eager, and
    `refusal` says why.
    """

    def __init__(self, step: Step, capture: Capture) -> None:
        self.step, self.capture = step, capture
        self.refusal: str | None = None
        self._eager: dict[tuple[torch.Size, ...], int] = {}
        self._graphs: dict[tuple[torch.Size, ...], Graph] = {}
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """As the step itself. A replayed step returns the same tensor each time: use it before the next one."""
        shapes = tuple(each.shape for each in inputs)
        if shapes not in self._graphs:
            done = self._eager.get(shapes, 0)
            if done < WARM_UP or self.refusal is not None or not self._captured(shapes, inputs):
                self._eager[shapes] = done + 1
                return self._beside(inputs)
        graph = self._graphs[shapes]
        for place, given in zip(graph.inputs, inputs, strict=True):
            place.copy_(given)
        graph.replay()
        return graph.output

    def _captured(self, shapes: tuple[torch.Size, ...], inputs: tuple[Tensor, ...]) -> bool:
        """Record the step for inputs of these shapes; False where it refuses."""
        try:
            self._graphs[shapes] = self.capture(self.step, tuple(each.clone() for each in inputs))
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.refusal = str(error).splitlines()[0]
            return False
        return True

    def _beside(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The step on a stream of its own, as CUDA wants of what is captured later; elsewhere just the step."""
        if not inputs[0].is_cuda:
            return self.step(*inputs)
        self._stream = self._stream or torch.cuda.Stream()
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            output = self.step(*inputs)
        current.wait_stream(self._stream)
        return output
