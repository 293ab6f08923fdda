"""Run every benchmark and print its tables as Markdown."""

from __future__ import annotations

from benchmarks import (
    against_diffusers,
    lanes,
    lora,
    mapped,
    memory,
    opening,
    overhead,
    quantised,
    sampling,
    scale,
    sweeps,
    transformers,
)


def main() -> None:
    """Run all benchmarks."""
    overhead.main()
    print()
    against_diffusers.main()
    print()
    sampling.main()
    print()
    transformers.main()
    print()
    lora.main()
    print()
    sweeps.main()
    print()
    memory.main()
    print()
    mapped.main()
    print()
    quantised.main()
    print()
    opening.main()
    print()
    scale.main()
    print()
    lanes.main()


if __name__ == "__main__":
    main()
