"""Results of a made-up row, as `fedket reproduce` stores them."""

import json

from fedket.reproduce.result import RowResult, SeedResult

SEED = {
    "seed": 0,
    "final": 0.5,
    "best": 0.6,
    "rounds": 10,
    "seconds": 20.0,
    "upload_bytes": 100,
    "download_bytes": 200,
    "key_bits": 300,
    "parameters_sha256": "",
}
RESULT = RowResult.model_validate_json(
    json.dumps(
        {
            "paper": "made_up",
            "row": "x",
            "title": "X",
            "source": "arXiv:0000.00000",
            "metric": "test_accuracy",
            "reported": 0.9,
            "assumptions": ["Adam"],
            "profile": "full",
            "planned_rounds": 10,
            "parameters": 7,
            "config_sha256": "ab" * 32,
            "seeds": [],
            "problem": "",
            "machine": None,
            "date": "",
            "fedket": "",
            "jax": "",
        }
    )
)


def with_finals(*finals, **changes):
    seeds = [SeedResult(**(SEED | {"seed": n, "final": final})) for n, final in enumerate(finals)]
    return RESULT.model_copy(update={"seeds": tuple(seeds)} | changes)
