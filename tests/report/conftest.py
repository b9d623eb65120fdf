"""Synthetic run directories in the format of docs/run-directory.md.

The federation is made up: a learning curve that rises to 93 %, Dirichlet clients, plausible costs.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tomli_w

from fedket.record import FORMAT

ENVIRONMENT = {
    "format": FORMAT,
    "fedket": "0.1.0",
    "python": "3.12.4",
    "jax": "0.10.0",
    "numpy": "2.4.6",
    "platform": "Linux-6.8-x86_64",
    "machine": "x86_64",
    "num_cpus": 2,
    "devices": ["TFRT_CPU_0"],
    "started": "2025-11-21T07:42:00Z",
}


class Shape(NamedTuple):
    """What a synthetic run looks like."""

    name: str = "digits-vqc"
    description: str = "Six qubits on the digits, labels dealt by a Dirichlet draw."
    seed: int = 0
    rounds: int = 50
    planned_rounds: int = 50
    num_clients: int = 20
    num_classes: int = 10
    aggregation: str = "pairwise_masks"
    bits: int = 16
    eval_every: int = 1
    reach: float = 0.935
    alpha: float = 0.5
    status: str | None = "finished"
    dropped: tuple[tuple[int, int, str], ...] = ()
    """(round, client, reason)."""
    clipped_share: float | None = 0.0025
    gradient_layers: int = 0
    quality: bool = False
    drift: bool = False
    strategy: str = "fed_avg"


def config_of(shape: Shape) -> dict[str, Any]:
    """The resolved configuration, shortened to what reports and comparisons look at."""
    return {
        "name": shape.name,
        "description": shape.description,
        "seed": shape.seed,
        "data": {"kind": "digits", "classes": [], "max_train": 0},
        "partition": {
            "kind": "dirichlet",
            "num_clients": shape.num_clients,
            "alpha": shape.alpha,
        },
        "model": {"kind": "vqc", "circuit": "qfedfisher", "num_qubits": 6, "num_layers": 20},
        "training": {"batch_size": 32},
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "strategy": {"kind": shape.strategy, "learning_rate": 0.01},
        "aggregation": {"kind": shape.aggregation}
        | (
            {}
            if shape.aggregation == "plain"
            else {"bits": shape.bits, "clip": 1.0, "modulus": "headroom"}
        ),
        "keys": {"kind": "os_random"},
        "federation": {"rounds": shape.planned_rounds, "clients_per_round": 0, "eval_every": 1},
        "engine": {"kind": "vectorised", "dtype": "float32"},
    }


def deal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Label counts, shape (clients, classes); the sizes do not depend on the seed."""
    sizes = np.random.default_rng(7).integers(30, 150, shape.num_clients)
    shares = rng.dirichlet(np.full(shape.num_classes, shape.alpha), shape.num_clients)
    return rng.multinomial(sizes, shares)


def round_records(shape: Shape, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The lines of rounds.jsonl."""
    return [round_record(shape, number, rng) for number in range(1, shape.rounds + 1)]


def round_record(shape: Shape, number: int, rng: np.random.Generator) -> dict[str, Any]:
    """One line; evaluated every `eval_every` rounds and in the last one."""
    accuracy = shape.reach - (shape.reach - 0.12) * np.exp(-number / 9) + rng.normal(0, 0.006)
    evaluated = number % shape.eval_every == 0 or number == shape.rounds
    clients = np.clip(accuracy + rng.normal(0, 0.06, shape.num_clients), 0, 1)
    pairs = shape.num_clients * (shape.num_clients - 1) // 2
    upload = 240 * shape.num_clients * shape.bits // 8
    return {
        "round": number,
        "cohort": list(range(shape.num_clients)),
        "dropped": {c: why for r, c, why in shape.dropped if r == number},
        "train_loss": round(float(2.1 * np.exp(-number / 12) + 0.22), 6),
        "test_loss": round(float(2.2 * np.exp(-number / 12) + 0.3), 6) if evaluated else None,
        "test_accuracy": round(float(np.clip(accuracy, 0, 1)), 4) if evaluated else None,
        "client_accuracy": clients.round(4).tolist() if evaluated else None,
        "drift": {
            c: {"norm": float(np.exp(-c - number / 9)), "cosine": float(np.cos(c / 9))}
            for c in range(shape.num_clients if shape.drift else 0)
        },
        "quality": quality(shape, float(np.clip(accuracy, 0, 1)))
        if evaluated and shape.quality
        else None,
        "seconds": round(float(6.1 if number == 1 else rng.uniform(0.6, 0.9)), 4),
        "upload_bytes": upload,
        "download_bytes": 240 * 4 * shape.num_clients,
        "key_bits": 240 * shape.bits * pairs if shape.aggregation == "pairwise_masks" else 0,
        "clipped": 12,
        "clipped_share": shape.clipped_share,
        "gradients": {
            f"layer.{i}": {"norm": float(np.exp(-i - number / 9)), "variance": float(np.exp(-i))}
            for i in range(shape.gradient_layers if evaluated else 0)
        },
    }


def quality(shape: Shape, accuracy: float) -> dict[str, Any]:
    """What 360 predictions are worth that are right so often and mistake a class for the next."""
    right = round(360 / shape.num_classes * accuracy)
    wrong = round(360 / shape.num_classes) - right
    confusion = np.diag(np.full(shape.num_classes, right))
    confusion += wrong * np.eye(shape.num_classes, k=1, dtype=int)
    few = shape.num_classes <= 100
    return {
        "macro_f1": accuracy,
        "auc": None,
        "ece": 0.05,
        "confusion": confusion.tolist() if few else [],
        "calibration": [
            {"samples": 60 * m, "confidence": m / 3 - 0.02, "accuracy": m / 3 - 0.07}
            for m in (1, 2, 3)
        ],
    }


def summary_of(shape: Shape, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The totals as the runner would write them."""
    evaluated = [r for r in rounds if r["test_accuracy"] is not None]
    return {
        "status": shape.status,
        "rounds": len(rounds),
        "lost_rounds": 0,
        "test_accuracy": evaluated[-1]["test_accuracy"] if evaluated else None,
        "test_loss": evaluated[-1]["test_loss"] if evaluated else None,
        "best_test_accuracy": max((r["test_accuracy"] for r in evaluated), default=None),
        "validation_accuracy": None,
        "validation_loss": None,
        "best_round": None,
        "stopped": "",
        "seconds": round(sum(r["seconds"] for r in rounds), 6),
        "simulated_s": None,
        "upload_bytes": sum(r["upload_bytes"] for r in rounds),
        "download_bytes": sum(r["download_bytes"] for r in rounds),
        "key_bits": sum(r["key_bits"] for r in rounds),
        "key_wait_s": 0.0,
        "starved_rounds": 0,
        "dropped_updates": sum(len(r["dropped"]) for r in rounds),
        "clipped": 12 * len(rounds) if rounds else None,
        "highest_clipped_share": shape.clipped_share if rounds else None,
        "parameters_sha256": "5f" * 32,
    }


def write_run(directory: Path, shape: Shape) -> Path:
    """Write a run directory; `status=None` leaves out the summary."""
    rng = np.random.default_rng(shape.seed)
    directory.mkdir(parents=True)
    label_counts = deal(shape, rng)
    rounds = round_records(shape, rng)
    masked = shape.aggregation == "pairwise_masks"
    model = {
        "parameters": 240,
        "qubits": 6,
        "upload_bytes_per_client": 240 * shape.bits // 8,
        "download_bytes_per_client": 960,
        "key_source": "os_random" if masked else "none",
        "key_bits_per_pair": 240 * shape.bits if masked else 0,
        "key_bits_per_server_link": 0,
        "key_bits_per_round": 0,
        "key_feed": None,
        "clients": shape.num_clients,
        "clients_per_round": shape.num_clients,
        "num_train": int(label_counts.sum()),
        "num_test": 360,
        "num_classes": shape.num_classes,
        "label_counts": label_counts.tolist(),
        "measured": {},
        "at_sites": False,
        "caveats": {
            "engine": ["Clients, server and network are simulated in one program."],
            "aggregation": [f"{shape.aggregation}: what the server sees."],
            "keys": ["os_random: not QKD."],
            "strategy": ["mine.py:Mine: only a toy."],
        },
    }
    (directory / "config.toml").write_text(tomli_w.dumps(config_of(shape)))
    (directory / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (directory / "model.json").write_text(json.dumps(model))
    (directory / "rounds.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rounds))
    if shape.status:
        (directory / "summary.json").write_text(json.dumps(summary_of(shape, rounds)))
    return directory


def writer(folder: Path) -> Callable[..., Path]:
    """What writes a synthetic run below a folder: `make_run("a", rounds=3)`."""

    def make(directory: str = "run", **changes: Any) -> Path:
        return write_run(folder / directory, Shape(**changes))

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write runs for one test."""
    return writer(tmp_path)


@pytest.fixture(scope="module")
def make_shared_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write runs for the tests of a module, which must have names of their own."""
    return writer(tmp_path_factory.mktemp("runs"))
