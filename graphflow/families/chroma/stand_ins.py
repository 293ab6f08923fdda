"""What stands in for files of Chroma."""

from __future__ import annotations

from graphflow.families.flow.bfl_config import schedule
from graphflow.families.flow.stand_ins import AUTOENCODER, INNER, T5, bfl_transformer
from graphflow.modelfiles.stand_in import StandIn

STAND_INS = (
    StandIn(
        names=r"chroma(?!.*radiance)",
        variant="chroma",
        parts={
            "transformer": bfl_transformer(
                "ChromaTransformer2DModel",
                approximator_num_channels=64,
                approximator_hidden_dim=INNER,
                approximator_layers=1,
            ),
            "text_encoder": T5,
            "vae": AUTOENCODER,
        },
        scheduler=schedule("chroma"),
    ),
    StandIn(names=r"radiance", parts={}),  # of pixels, which no class of Diffusers has
)
