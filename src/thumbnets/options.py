"""Types of options with their ranges, for the signatures of everything that a registry holds.

`def cutout(images, *, generator, size: Pixels)` says that `size` is a whole number of at least 1;
params.yaml is checked against it before anything runs.
"""

from typing import Annotated

from pydantic import AfterValidator, Field


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"must be [least, greatest], got {list(pair)}")
    return pair


# A pair is written as a list, which strict typing would refuse.
_PAIR = (Field(strict=False), AfterValidator(_ordered))

Probability = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Portion = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=1, le=1000)]  # networks that are held at once
# A default must be a tuple (a list would be shared), and a list is what YAML gives.
Counts = Annotated[list[Count], Field(min_length=1, strict=False, validate_default=True)]
Pixels = Annotated[int, Field(ge=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]
AcuteDegrees = Annotated[float, Field(ge=0, lt=90)]
HalfTurn = Annotated[float, Field(ge=0, le=0.5)]  # 1 is the whole circle
Distance = Annotated[int, Field(ge=0)]  # whole pixels
Blur = Annotated[float, Field(ge=1, allow_inf_nan=False)]  # sigma of a Gaussian, pixels
Concentration = Annotated[float, Field(ge=0.05, allow_inf_nan=False)]  # of a Beta; less underflows
Shares = Annotated[tuple[Fraction, Fraction], *_PAIR]  # least and greatest part of a whole
Ratios = Annotated[tuple[Positive, Positive], *_PAIR]  # least and greatest factor
