"""TorchQuantum as its examples write it: gate modules, one after the other, without static mode.

Workload b has no static mode in release 0.1.8, so there the other script already runs gate by gate.
"""

from benchmarks.peers.common import main
from benchmarks.peers.torchquantum import peer

if __name__ == "__main__":
    main(peer(static=False))
