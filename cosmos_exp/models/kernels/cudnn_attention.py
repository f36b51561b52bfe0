"""cuDNN's attention on 8-bit floats, through its Python front end (the extra `fp8`)."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError

PROBABILITY_SCALE = 256.0  # of the exponentials in [0, 1]; e4m3 ends at 448
SCALES = ("descale_q", "descale_k", "descale_v", "descale_s", "scale_s", "scale_o")
ONE = (1, 1, 1, 1)

Layout = tuple[tuple[int, ...], tuple[int, ...]]  # size and strides


class Graph(NamedTuple):
    """A built operation graph and its tensors."""

    graph: Any
    operands: tuple[Any, ...]  # queries, keys, values
    scales: tuple[Any, ...]  # in the order of SCALES
    outputs: tuple[Any, ...]  # result, largest probability, largest result
    handle: Any


def front_end() -> Any:
    try:
        import cudnn
    except ImportError:
        raise UserError(
            "speed.attention=fp8 needs cuDNN's Python front end: pip install 'cosmos-exp[fp8]', or speed.attention=auto"
        ) from None
    return cudnn


def float8_attention(query: Tensor, key: Tensor, value: Tensor, scales: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Attention of e4m3 [B, heads, L, head_dim]; the result is e4m3 in the layout of the query, scaled as the values.

    scales: float32 scalars that dequantize queries, keys and values.
    """
    cudnn = front_end()
    built = _graph(_layout(query), _layout(key), _layout(value), query.device)
    scale_q, scale_k, scale_v = scales
    probability = scale_v.new_tensor(PROBABILITY_SCALE)
    values = (scale_q, scale_k, scale_v, 1 / probability, probability, 1 / scale_v)
    result = torch.empty_strided(query.shape, query.stride(), dtype=query.dtype, device=query.device)
    largest = [scale_v.new_empty(ONE) for _ in range(2)]
    tensors = dict(zip(built.operands, (query, key, value)))
    tensors |= {name: scale.float().reshape(ONE) for name, scale in zip(built.scales, values)}
    tensors |= dict(zip(built.outputs, (result, *largest)))
    workspace = torch.empty(built.graph.get_workspace_size(), dtype=torch.uint8, device=query.device)
    cudnn.set_stream(handle=built.handle, stream=torch.cuda.current_stream(query.device).cuda_stream)
    built.graph.execute(tensors, workspace, handle=built.handle)
    return result


def _layout(x: Tensor) -> Layout:
    return tuple(x.shape), x.stride()


@cache
def _graph(query: Layout, key: Layout, value: Layout, device: torch.device) -> Graph:
    cudnn = front_end()
    float8, float32 = cudnn.data_type.FP8_E4M3, cudnn.data_type.FLOAT
    with torch.cuda.device(device):
        handle = cudnn.create_handle()
        graph = cudnn.pygraph(
            io_data_type=float8, intermediate_data_type=float32, compute_data_type=float32, handle=handle
        )
        operands = tuple(
            graph.tensor(name=name, dim=list(size), stride=list(strides), data_type=float8)
            for name, (size, strides) in zip("qkv", (query, key, value))
        )
        scales = tuple(graph.tensor(name=name, dim=list(ONE), stride=list(ONE), data_type=float32) for name in SCALES)
        result, _, *largest = graph.sdpa_fp8(
            *operands, *scales, attn_scale=1 / math.sqrt(query[0][-1]), generate_stats=False, name="attention"
        )
        result.set_output(True).set_dim(list(query[0])).set_stride(list(query[1])).set_data_type(float8)
        for tensor in largest:
            tensor.set_output(True).set_dim(list(ONE)).set_stride(list(ONE)).set_data_type(float32)
        try:
            graph.build([cudnn.heur_mode.A])
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
            raise UserError(
                f"cuDNN {cudnn.backend_version()} has no 8-bit attention for queries {query[0]}, keys {key[0]} on "
                f"{torch.cuda.get_device_name(device)}: {error}; give speed.attention=auto"
            ) from error
    return Graph(graph, operands, scales, (result, *largest), handle)
