"""How FLARE's processes are connected."""

import socket
import threading

import pytest

pytest.importorskip("nvflare")

import trustme
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo, Mode
from nvflare.fuel.f3.drivers.driver_params import DriverParams

from fedket.deploy.engines.flare.transport import Listener, connect


class Driver:
    """Notes the connections of one end."""

    def __init__(self):
        self.peers, self.met = [], threading.Event()

    def add_connection(self, connection):
        self.peers.append(connection.get_conn_properties()[DriverParams.PEER_CN.value])
        self.connection = connection
        self.met.set()

    def close_connection(self, connection):
        connection.close()


def test_who_connects_and_says_nothing_keeps_nobody_out(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    params = {DriverParams.CA_CERT.value: str(tmp_path / "ca.pem"), "secure": True}
    for name in ("server", "client"):
        made = ca.issue_cert("localhost", common_name=name)
        made.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        params |= {
            f"{name}_cert": str(tmp_path / f"{name}.crt"),
            f"{name}_key": str(tmp_path / f"{name}.key"),
        }

    def end(driver, mode, port):
        place = {DriverParams.HOST.value: "127.0.0.1", DriverParams.PORT.value: port}
        return ConnectorInfo("end", driver, params | place, mode, 0, 0, False, threading.Event())

    ours, theirs = Driver(), Driver()
    listener = Listener(ours, end(ours, Mode.PASSIVE, 0))
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    port = listener.server_address[1]
    with socket.create_connection(("127.0.0.1", port)):  # who says nothing
        known = end(theirs, Mode.ACTIVE, port)
        threading.Thread(target=connect, args=(theirs, known), daemon=True).start()
        assert ours.met.wait(60)
        assert theirs.met.wait(60)
        theirs.connection.close()
    listener.shutdown()
    listener.server_close()
    assert (ours.peers, theirs.peers) == (["client"], ["server"])
