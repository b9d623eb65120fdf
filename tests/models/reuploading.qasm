OPENQASM 3.0;
include "stdgates.inc";
// Features enter twice, once multiplied by a weight; one weight is shared.
input array[float[64], 3] x;
input array[float[64], 8] w;
qubit[3] q;
ry(x[0]) q[0]; ry(x[1]) q[1]; ry(arctan(x[2])) q[2];
cx q[0], q[1]; cx q[1], q[2]; rx(w[0]) q[0]; rx(w[1]) q[1]; rx(w[2] / 2) q[2];
ry(x[0] * w[3]) q[0]; ry(x[1] + w[7]) q[1]; ry(x[2]) q[2];
cx q[0], q[1]; cx q[1], q[2]; rx(w[4]) q[0]; rx(w[5]) q[1]; rx(w[6] - pi) q[2];
crz(w[7]) q[0], q[1]; cp(w[0]) q[1], q[2]; h q[0]; u3(w[3], 0.3, w[5]) q[1];
