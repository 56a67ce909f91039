"""Types of options with their ranges, for the signatures of everything that a registry holds.

`def cutout(images, generator, *, size: Pixels)` says that `size` is a whole number of at least 1;
params.yaml is checked against it before anything runs.
"""

from typing import Annotated

from pydantic import Field

Probability = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]
