"""Three sites' links filled by KMEs of one key per call: `python -m benchmarks.slow_kme`.

Every site has a KME of its own, which gives one 256-bit key per call, answers one call at a time
and takes 5 ms for it: 200 a second (`--parallel`: any number at a time, 5 ms each). Measured is how
long it takes until all three pairs of sites hold the pads of a first round of LeNet-5 (61,706
numbers of 16 bits), and how the busiest KME's calls per second compare with those 200, and with
what the same KME gives to a loop that sends the same bytes over as many sockets and looks at
nothing: the first site's hands out the keys of two links, the last one's names them again, 7,714
calls each. Messages between sites are function
calls here; all sites share one process, so that their Python runs on one core.
"""

import argparse
import json
import math
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.pacing_kme import CALL_S, KEY_BITS, serve
from fedket.deploy.local import free_ports
from fedket.deploy.party_keys import StoreKeys, open_store_keys
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.tls import client_context
from fedket.keys.kme.trial import write_trial
from fedket.schema import read_table

SITES = 3
PAD_BYTES = 61_706 * 16 // 8
CALLS_PER_LINK = math.ceil(PAD_BYTES * 8 / KEY_BITS)


def main() -> None:
    """Measure, and print a line of JSON; `--serve FILE` is the KMEs' process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parallel", action="store_true", help="calls do not wait for each other")
    parser.add_argument("--connections", type=int, default=4, help="of each site to its KME")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.parallel)
    else:
        print(json.dumps(measure(options)))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Fill all links for one round."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = prepare(folder, options.connections)
        command = [sys.executable, "-m", "benchmarks.slow_kme", "--serve", str(folder / "kme.toml")]
        kmes = subprocess.Popen(
            command + ["--parallel"] * options.parallel, stdin=-1, stdout=-1, text=True
        )
        stack.enter_context(kmes)
        assert kmes.stdin
        assert kmes.stdout
        stack.callback(kmes.stdin.close)
        kmes.stdout.readline()
        parties: dict[int, StoreKeys] = {}
        for i in range(SITES):
            ask = lambda peer, action, payload, i=i: parties[peer].answer(i, action, payload)  # noqa: E731
            ids = {i: f"site-{i}" for i in range(SITES)}
            parties[i] = open_store_keys(i, folder / f"pads-{i}", files[f"site-{i}"], ids, ask)
            stack.callback(parties[i].close)
        for i, peer in combinations(range(SITES), 2):
            parties[i].links([peer])
        start, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(SITES) as pool:
            needs = [{(i, j): PAD_BYTES for j in range(i + 1, SITES)} for i in range(SITES)]
            list(pool.map(lambda i: parties[i].fill(needs[i]), range(SITES)))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        rate = (SITES - 1) * CALLS_PER_LINK / seconds
        alone = rate_alone(files["site-0"], options.connections)
        return {
            "kme": "parallel" if options.parallel else "one call at a time",
            "connections": options.connections,
            "first_round_s": round(seconds, 1),
            "keys_per_s": round(rate, 1),
            "kme_alone_keys_per_s": round(alone, 1),
            "share_of_nominal": round(rate * CALL_S, 3),
            "share_of_alone": round(rate / alone, 3),
            "sites_cpu_s": round(cpu, 1),
        }


def rate_alone(sae: Path, connections: int, calls: int = 3000) -> float:
    """Keys per second that a KME gives to who only sends the same bytes again and again."""
    config = read_table(sae, SaeConfig)
    parts = urlsplit(config.kme_url)
    request = (
        f"POST /api/v1/keys/site-1/enc_keys HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ).encode()

    def ask(number: int) -> None:
        plain = socket.create_connection((parts.hostname, parts.port))
        with client_context(config).wrap_socket(plain, server_hostname=parts.hostname) as tls:
            for _ in range(number):
                tls.sendall(request)
                answer = b""
                while not answer.endswith(b"]}"):
                    answer += (arrived := tls.recv(65536))
                    assert arrived, answer
                assert b" 200 " in answer[:20], answer

    start = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask, [calls // connections] * connections))
    return calls // connections * connections / (time.perf_counter() - start)


def prepare(folder: Path, connections: int) -> dict[str, Path]:
    """Write the KMEs of a trial and the sites' ways to them."""
    sites = [f"site-{i}" for i in range(SITES)]
    trial = write_trial(
        folder, [f"kme-{i}" for i in range(SITES)], sites, first_port=free_ports(1)[0]
    )
    for path in trial.sae_configs.values():
        path.write_text(f"{path.read_text()}connections = {connections}\n")
    return trial.sae_configs


if __name__ == "__main__":
    main()
