"""What all tables of a configuration share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all tables of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
