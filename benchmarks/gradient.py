"""Loss and gradient of four workloads: `python -m benchmarks.gradient`.

Prints one line per workload; `--json` prints objects with the keys `workload`, `fedket_ms`,
`compile_s`, `peers` (name -> ms or null), `notes` (why something is null), `threads`, `versions`
and `repeats`. Times are medians in ms of one training step's loss and gradient, see `workloads`.
"""

from benchmarks import machine
from benchmarks.sides import compare, parser, publish, readable
from benchmarks.workloads import GRADIENT_WORKLOADS, load, reference


def main() -> None:
    """Measure the workloads chosen on the command line."""
    options_parser = parser("Time loss and gradient of fedket and its peers.", repeats=5)
    options_parser.add_argument(
        "--workload", nargs="+", choices=GRADIENT_WORKLOADS, default=list(GRADIENT_WORKLOADS)
    )
    options = options_parser.parse_args()
    described = machine.describe()
    for workload in options.workload:
        peers = [] if options.no_peers else options.peers
        record = compare(workload, reference(load(workload)).loss, peers, options)
        sides = {"fedket": record["fedket_ms"], **record["peers"]}
        times = "   ".join(f"{name} {readable(ms)}" for name, ms in sides.items())
        publish(record, f"{workload}   {times}", described, options)


if __name__ == "__main__":
    main()
