"""Average the weights of several checkpoints of one training, which often errs less than each of them.

After "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time"
(Wortsman et al., 2022, arXiv 2203.05482).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel


def main() -> None:
    """Write OUT, a UNet folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("unets", type=Path, nargs="+", help="UNet folders of the same layout")
    parser.add_argument("--out", type=Path, required=True, help="UNet folder to write")
    args = parser.parse_args()
    first, *others = [UNet2DConditionModel.from_pretrained(folder) for folder in args.unets]
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            parts = [parameter, *(dict(other.named_parameters())[name] for other in others)]
            parameter.copy_(torch.stack(parts).mean(0))
    first.save_pretrained(args.out)


if __name__ == "__main__":
    main()
