"""The family `remote`: its contract is that of the server's model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosmos_exp.common.errors import UserError, attempt, unknown_name
from cosmos_exp.common.typed_config import identity
from cosmos_exp.models.base import ModelFamily, NamedContract, VideoModel
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.remote.config import PROTOCOLS, RemoteConfig
from cosmos_exp.models.remote.endpoints import check_endpoint, server_problems, shown


def contract(config: RemoteConfig, named: NamedContract) -> Contract:
    """That of the server's model. With gradio, whose servers have none to tell: of the model of that name."""
    if config.protocol not in PROTOCOLS:
        raise UserError(f"model.protocol: {unknown_name('protocol', config.protocol, PROTOCOLS)}")
    check_endpoint(config)
    if config.protocol == "gradio":
        if config.backend is None:
            raise UserError("model.protocol=gradio: give model.backend, the model that the server runs")
        return named(config.backend)
    from cosmos_exp.models.remote.server import model_info

    told = model_info(config).contract
    made, errors = attempt(lambda: Contract.from_dict(told))
    if made is None:
        raise UserError(
            f"model.endpoint: {shown(config)} does not speak of its models as this version does: {errors[0]}"
        )
    return made


def build(config: GenerationConfig, contract: Contract) -> VideoModel:
    assert isinstance(config.model, RemoteConfig)
    if config.model.protocol == "gradio":
        from cosmos_exp.models.remote.gradio_model import GradioModel

        return GradioModel(config, contract)
    from cosmos_exp.models.remote.remote_model import RemoteModel

    return RemoteModel(config, contract)


def check(config: GenerationConfig, contract: Contract, here: bool) -> Iterator[str]:
    """What is the server's alone, and with gradio, what its requests have no place for."""
    own = config.model
    assert isinstance(own, RemoteConfig)
    yield from server_problems(own)
    for key in identity(config.speed):
        yield f"speed.{key}: is the server's own: leave it out, and give it to `cosmos-exp serve`"
    steps, sampler = contract.num_steps, config.sampler
    if steps is not None and (sampler.num_steps != steps or sampler.guidance != 0):
        given = f"sampler.num_steps={sampler.num_steps}, sampler.guidance={sampler.guidance:g}"
        yield f"{given}: this model needs sampler.num_steps={steps} sampler.guidance=0"
    if own.protocol == "gradio":
        from cosmos_exp.models.remote.gradio_model import not_carried

        yield from not_carried(config, contract)


def known() -> Mapping[str, Contract]:
    return {}


FAMILY = ModelFamily(RemoteConfig, contract, build, check, known)
