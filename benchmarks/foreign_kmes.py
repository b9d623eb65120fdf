"""Key managers of others under a deployed federation: `python -m benchmarks.foreign_kmes KME PATH`.

From nothing to the end of three masked rounds of three sites and a server, each a process of its
own on this machine: `fedket keys doctor --try-one-key` for all four, then `fedket deploy run`.
Prints a line of JSON. KME is one of

- `next-door`: PATH is a checkout of github.com/CreepPork/next-door-key-simulator; needs nginx. A
  process per party. Each holds its lock while it tells the others of a key, so that two of them
  wait for each other for good: they reach each other through nginx, which gives up after 2 s.
- `easy-kme`: PATH is a checkout of github.com/krich11/easy-kme; needs nginx, and port 8000. One
  process for all.
- `arnika`: PATH is the mock of github.com/arnika-project/arnika, `go build tools/mock.go`; needs
  nginx. It knows two names, so each link has a process of its own.

`--python` runs those in Python, where their requirements are installed.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import tomli_w

from fedket.deploy.local import free_ports, prepare, start_party, stop
from fedket.deploy.project import Layout
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import parse_config

SITES, ROUNDS = 3, 3


def experiment() -> ExperimentConfig:
    """A small model, so that a KME of one key in 50 ms fills its pads in seconds."""
    return parse_config(
        {
            "name": "foreign-kme",
            "data": {"kind": "digits", "classes": [0, 1, 2], "max_train": 200, "max_test": 60},
            "partition": {"kind": "iid", "num_clients": SITES},
            "model": {"kind": "vqc", "num_qubits": 6, "num_layers": 1},
            "training": {"epochs": 1, "batch_size": 16},
            "aggregation": {"kind": "pairwise_masks", "bits": 16},
            "federation": {"rounds": ROUNDS},
            "engine": {"kind": "sequential"},
        }
    )


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kme", choices=sorted(KMES))
    parser.add_argument("path", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--keep", type=Path, help="folder to write and keep")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        layout = prepare(experiment(), SITES, folder / "federation")
        path = options.path.resolve()
        stack.enter_context(KMES[options.kme](layout, path, options.python))
        print(json.dumps({"kme": options.kme, **run(layout)}))


def run(layout: Layout) -> dict[str, Any]:
    """Doctor, then rounds."""
    fedket = [sys.executable, "-m", "fedket"]
    for party in parties(layout):
        doctor = [*fedket, "keys", "doctor", "--try-one-key", "--sample-s", "0"]
        subprocess.run([*doctor, str(layout.files(party) / "sae.toml")], check=True, stdout=2)
    start = time.perf_counter()
    try:
        started = [start_party(layout.kits[party], party) for party in parties(layout)]
        listed = json.dumps([list(s) for s in started])
        (layout.directory / "processes.json").write_text(listed)
        command = [*fedket, "deploy", "run", str(layout.directory)]
        subprocess.run(command, check=True, stdout=2, timeout=900)
        seconds = time.perf_counter() - start
    finally:
        stop(layout.directory)
    text = (layout.files("server") / "run" / "rounds.jsonl").read_text()
    rounds = [json.loads(line) for line in text.splitlines()]
    return {
        "doctor": "ok at every party",
        "rounds": len(rounds),
        "lost": sum(bool(line.get("lost")) for line in rounds),
        "in_each": [len(line["cohort"]) - len(line["dropped"]) for line in rounds],
        "seconds": round(seconds),
    }


def parties(layout: Layout) -> list[str]:
    """Everybody with keys."""
    return ["server", *layout.sites()]


def sae_of(party: str) -> str:
    """SAE ID, as `prepare` gives them."""
    return f"sae-{party}"


def write_sae(layout: Layout, party: str, name: str, **changed: object) -> None:
    """Write how a party reaches a key manager, with the trial's certificates."""
    sae = sae_of(party)
    values = {
        "ca": "ca.crt",
        "certificate": f"{sae}.crt",
        "key": f"{sae}.key",
        "sae_id": sae,
        "peers": [sae_of(other) for other in parties(layout) if other != party],
    }
    (layout.files(party) / name).write_text(tomli_w.dumps(values | changed))


@contextmanager
def process(command: list[str], port: int, **where: Any) -> Iterator[None]:
    """Run something that listens on a port, and end it."""
    started = subprocess.Popen(command, stdout=2, start_new_session=True, **where)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
            if started.poll() is not None:
                raise RuntimeError(f"{command} ended at once, with {started.returncode}")
        else:
            raise RuntimeError(f"{command} does not listen on port {port}")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        started.wait()


def environment(values: Mapping[str, object]) -> dict[str, str]:
    """This environment, and more; without what is set for our own Python."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return ours | {name: str(value) for name, value in values.items()}


@contextmanager
def next_door(layout: Layout, path: Path, python: str) -> Iterator[None]:
    """A KME per party, which tell each other their keys."""
    pki, ports = layout.directory / "kme", free_ports(2 * (SITES + 1))
    doors = dict(zip(ports[::2], ports[1::2], strict=True))
    with ExitStack() as stack:
        stack.enter_context(nginx(layout, doors, "https"))
        for party, (door, port) in zip(parties(layout), doors.items(), strict=True):
            sae = sae_of(party)
            others = [f"https://localhost:{other}" for other in doors if other != door]
            told = {
                **{"HOST": "127.0.0.1", "PORT": port, "OTHER_KMES": ",".join(others)},
                **{"KME_ID": f"kme-{party}", "ATTACHED_SAE_ID": sae},
                **{"DEFAULT_KEY_SIZE": 256, "MIN_KEY_SIZE": 32, "MAX_KEY_SIZE": 1024},
                **{"MAX_KEY_COUNT": 100_000, "MAX_KEYS_PER_REQUEST": 128},
                **{"KEY_GEN_SEC_TO_GEN": 0.005, "CA_FILE": pki / "ca.crt"},
                **{"KME_CERT": pki / "kme.crt", "KME_KEY": pki / "kme.key"},
                "SAE_CERT": layout.files(party) / f"{sae}.crt",
            }
            url = f"https://localhost:{port}"
            write_sae(layout, party, "sae.toml", kme_url=url, timeout_s=30.0)
            command = [python, "app.py"]
            stack.enter_context(process(command, port, cwd=path, env=environment(told), stderr=-3))
            time.sleep(4)  # they look for each other every 15 s: not all at the same time
        time.sleep(15)
        yield


@contextmanager
def easy_kme(layout: Layout, path: Path, python: str) -> Iterator[None]:
    """One KME for all, behind nginx, which tells it whose certificate came."""
    (port,) = free_ports(1)
    pki = layout.directory / "kme"
    told = environment(
        {
            **{"DATA_DIR": layout.directory / "easy-kme", "KME_HOST": "127.0.0.1"},
            **{"KME_CERT_PATH": pki / "kme.crt", "KME_KEY_PATH": pki / "kme.key"},
            "CA_CERT_PATH": pki / "ca.crt",
        }
    )
    for party in parties(layout):
        write_sae(layout, party, "sae.toml", kme_url=f"https://localhost:{port}", key_bits=256)
    with (
        process([python, "run.py"], 8000, cwd=path, env=told, stderr=-3),
        nginx(layout, {port: 8000}),
    ):
        yield


@contextmanager
def arnika(layout: Layout, path: Path, _python: str) -> Iterator[None]:
    """Two names and no certificates: a process per link, each behind nginx."""
    doors, urls = {}, {}
    with ExitStack() as stack:
        for pair in combinations(parties(layout), 2):
            inner, outer = free_ports(2)
            doors[outer], urls[pair] = inner, f"https://localhost:{outer}"
            listen = environment({"LISTEN": f"127.0.0.1:{inner}"})
            stack.enter_context(process([str(path)], inner, env=listen, stderr=-3))
        write_links(layout, urls)
        stack.enter_context(nginx(layout, doors))
        yield


def write_links(layout: Layout, urls: Mapping[tuple[str, str], str]) -> None:
    """Write for all parties how they reach a KME per link (pair -> URL), as CONSA and CONSB."""
    links: dict[str, dict[str, str]] = {party: {} for party in parties(layout)}
    for pair, url in urls.items():
        for ends, names in ((pair, ("CONSA", "CONSB")), (pair[::-1], ("CONSB", "CONSA"))):
            (party, other), (ours, theirs) = ends, names
            links[party][sae_of(other)] = f"{other}.toml"
            at = {"kme_url": url, "sae_id": ours, "peers": [theirs]}
            write_sae(layout, party, f"{other}.toml", **at)
    for party, own in links.items():
        write_sae(layout, party, "sae.toml", kme_url=next(iter(urls.values())), links=own)


@contextmanager
def nginx(layout: Layout, doors: Mapping[int, int], inner: str = "http") -> Iterator[None]:
    """TLS with certificates of both sides: port -> port of a KME behind it."""
    folder, pki = layout.directory / "nginx", layout.directory / "kme"
    folder.mkdir()
    names = {
        **{"X-Client-Verified": "client_verify", "X-Client-DN": "client_s_dn"},
        **{"X-Client-Issuer": "client_i_dn", "X-SSL-Protocol": "protocol"},
        "X-SSL-Cipher": "cipher",
    }
    headers = "".join(f"proxy_set_header {name} $ssl_{value}; " for name, value in names.items())
    servers = "".join(
        f"server {{ listen 127.0.0.1:{outer} ssl; ssl_certificate {pki}/kme.crt; "
        f"ssl_certificate_key {pki}/kme.key; ssl_client_certificate {pki}/ca.crt; "
        f"ssl_verify_client on; ssl_verify_depth 10; proxy_ssl_certificate {pki}/kme.crt; "
        f"proxy_ssl_certificate_key {pki}/kme.key; location / {{ {headers} "
        f"proxy_read_timeout {2 if inner == 'https' else 60}s; "
        f"proxy_pass {inner}://127.0.0.1:{behind}; }} }}\n"
        for outer, behind in doors.items()
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};\n"
        f"fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n"
        f"{servers}}}\n"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(command, next(iter(doors))):
        yield


KMES = {"next-door": next_door, "easy-kme": easy_kme, "arnika": arnika}


if __name__ == "__main__":
    main()
