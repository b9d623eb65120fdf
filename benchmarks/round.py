"""A whole federated round of Chen & Yoo's circuit, per client: `python -m benchmarks.round`.

Each client takes 4 Adam steps on batches of 32, the server averages. Peers train the clients one
after the other and really run as many as are reported: 5 and 20, and 100 with `--peers-at-100`.
`--json` prints objects with the keys `workload`, `clients`, `fedket_ms_per_client`, `compile_s`,
`peers_ms_per_client`, `notes`, `threads`, `versions` and `repeats`.
"""

from typing import Any

from benchmarks import machine
from benchmarks.checks import expected_round_loss
from benchmarks.sides import compare, parser, publish, readable

CLIENTS = (5, 20, 100, 1_000)
MOST_CLIENTS_OF_PEERS = 20


def main() -> None:
    """Measure the rounds chosen on the command line."""
    options_parser = parser("Time a federated round of fedket and its peers.", repeats=3)
    options_parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    options_parser.add_argument(
        "--peers-at-100", action="store_true", help="run the peers with 100 clients too: minutes"
    )
    options = options_parser.parse_args()
    described = machine.describe()
    most = 100 if options.peers_at_100 else MOST_CLIENTS_OF_PEERS
    for clients in options.clients:
        peers = [] if options.no_peers or clients > most else options.peers
        record = _per_client(
            compare(f"round-{clients}", expected_round_loss(), peers, options), clients
        )
        if clients > most and not options.no_peers:
            record["notes"]["peers"] = f"not run with more than {most} clients"
        sides = {"fedket": record["fedket_ms_per_client"], **record["peers_ms_per_client"]}
        times = "   ".join(f"{name} {readable(ms)}" for name, ms in sides.items())
        publish(record, f"{clients} clients, per client   {times}", described, options)


def _per_client(record: dict[str, Any], clients: int) -> dict[str, Any]:
    def share(ms: float | None) -> float | None:
        return None if ms is None else ms / clients

    rest = {name: record[name] for name in ("notes", "threads", "versions", "repeats")}
    return {
        "workload": record["workload"],
        "clients": clients,
        "fedket_ms_per_client": share(record["fedket_ms"]),
        "compile_s": record["compile_s"],
        "peers_ms_per_client": {name: share(ms) for name, ms in record["peers"].items()},
        **rest,
    }


if __name__ == "__main__":
    main()
