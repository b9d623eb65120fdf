"""TenSEAL's CKKS: clients encrypt, the server adds ciphertexts, whoever has the key decrypts.

Another promise than pads: it rests on lattices, and on nobody who holds the secret key being the
server. Parameters: ring degree 8192, moduli of 60, 40 and 60 bits, scale 2^40, which is 128-bit
security by the library's tables and enough for sums. Values are real numbers, so the case's bits
are not used. Who drops out just sends nothing.
"""

from typing import Any

import numpy as np
import tenseal as ts

from benchmarks.peers.secure_common import main
from benchmarks.secure_cases import Case, Clock, check_sum

TOLERANCE = 1e-5


def run(case: Case, clock: Clock) -> dict[str, Any]:
    """Run one round."""
    with clock.phase("keys"):
        context = ts.context(
            ts.SCHEME_TYPE.CKKS, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 60]
        )
        context.global_scale = 2**40
    total, num_bytes = None, 0
    for i in case.survivors:
        values = (case.update(i) / np.float32(case.clients)).tolist()
        with clock.phase("encrypt"):
            sent = ts.ckks_vector(context, values).serialize()
        num_bytes = max(num_bytes, len(sent))
        with clock.phase("add"):
            arrived = ts.ckks_vector_from(context, sent)
            total = arrived if total is None else total + arrived
    with clock.phase("decrypt"):
        opened = np.array(total.decrypt())
    check_sum(case, opened, TOLERANCE)
    return {"up_bytes_per_client": num_bytes}


if __name__ == "__main__":
    main(("tenseal", "numpy"), run)
