// Gates as rotations of X, Y and Z, with the noise after them, and cotangents back to gates.
// Included once per instruction set.
#pragma once

#include "noisy.h"
#include "pauli.h"

namespace {

using fedket::Single;

// R of a gate U: R_ij = ½ Tr(σ_i U σ_j U†), i and j of X, Y, Z.
template <typename T>
void rotation_of(const T* u, T* r) {
  const auto product = [&](int i, int j, T& re, T& im) {  // U_i · conj(U_j), entries row-major
    re = u[2 * i] * u[2 * j] + u[2 * i + 1] * u[2 * j + 1];
    im = u[2 * i + 1] * u[2 * j] - u[2 * i] * u[2 * j + 1];
  };
  T re[4], im[4];  // A = (column 0)(column 1)†
  product(0, 1, re[0], im[0]), product(0, 3, re[1], im[1]);
  product(2, 1, re[2], im[2]), product(2, 3, re[3], im[3]);
  r[0] = re[2] + re[1], r[1] = im[2] + im[1];
  r[3] = im[2] - im[1], r[4] = re[1] - re[2];
  r[6] = re[0] - re[3], r[7] = im[0] - im[3];
  T off_re, off_im, right_re, right_im, norms[4], none;
  product(0, 2, off_re, off_im), product(1, 3, right_re, right_im);
  for (int i = 0; i < 4; ++i) product(i, i, norms[i], none);
  r[2] = off_re - right_re, r[5] = right_im - off_im;
  r[8] = (norms[0] - norms[1] - norms[2] + norms[3]) / 2;
}

// M = N R, transposed if observables go back.
template <typename T>
Turn<T> turn_of(const Single& single, const T* unitaries, bool back) {
  T r[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, n[9];
  if (single.unitary >= 0) rotation_of(unitaries + 8 * single.unitary, r);
  Turn<T> result;
  for (int i = 0; i < 3; ++i) {
    result.t[i] = static_cast<T>(single.noise[4 * i + 4]);
    for (int j = 0; j < 3; ++j) n[3 * i + j] = static_cast<T>(single.noise[4 * i + j + 5]);
  }
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      result.o[back ? 3 * j + i : 3 * i + j] =
          n[3 * i] * r[j] + n[3 * i + 1] * r[3 + j] + n[3 * i + 2] * r[6 + j];
  return result;
}

// Cotangent of U from the torque g of its rotation: for dU = U (−i/2 ω·σ) the loss grows by ω·g.
template <typename T>
void unitary_cotangent(const T* u, const T* g, T* result) {
  // i (S U†)ᵀ, S = g·σ = [[g_z, g_x − i g_y], [g_x + i g_y, −g_z]]
  const T re[4] = {g[2], g[0], g[0], -g[2]}, im[4] = {0, -g[1], g[1], 0};
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 2; ++b) {
      T x = 0, y = 0;  // (S U†)_ba = Σ_c S_bc conj(U_ac)
      for (int c = 0; c < 2; ++c) {
        const T *s = u + 2 * (2 * a + c), p = re[2 * b + c], q = im[2 * b + c];
        x += p * s[0] + q * s[1], y += q * s[0] - p * s[1];
      }
      result[2 * (2 * a + b)] = -y, result[2 * (2 * a + b) + 1] = x;
    }
}

}  // namespace
