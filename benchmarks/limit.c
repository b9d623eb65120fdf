/* SPDX-License-Identifier: Apache-2.0
 *
 * The limit to approach: workload a's arithmetic in C on one core. 10 qubits, 60 layers of one-qubit gates
 * and a CNOT chain, batch 32: forward, adjoint backward and the gradient of every gate, single precision.
 * Prints the median time of one such step in ms, as every process measured here does.
 *
 *     gcc -O3 -march=native -ffast-math limit.c -lm -o limit && ./limit
 *
 * States are psi[amplitude][real, imaginary][batch]; gates are 2 x 2, each entry real, imaginary.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define N 10
#define D 1024
#define L 60
#define B 32
#define REPEATS 31

typedef float row[2][B];
static row psi[D], lam[D];
static float G[L][N][8], dG[L][N][8];

static inline __attribute__((always_inline)) void one_qubit(row *restrict s, int i, const float *g) {
  int st = 1 << (N - 1 - i);
  for (int hi = 0; hi < D; hi += 2 * st)
    for (int lo = 0; lo < st; lo++) {
      float *ar = s[hi + lo][0], *ai = s[hi + lo][1];
      float *br = s[hi + lo + st][0], *bi = s[hi + lo + st][1];
      for (int b = 0; b < B; b++) {
        float x = ar[b], y = ai[b], u = br[b], v = bi[b];
        ar[b] = g[0] * x - g[1] * y + g[2] * u - g[3] * v;
        ai[b] = g[0] * y + g[1] * x + g[2] * v + g[3] * u;
        br[b] = g[4] * x - g[5] * y + g[6] * u - g[7] * v;
        bi[b] = g[4] * y + g[5] * x + g[6] * v + g[7] * u;
      }
    }
}

static inline void cnot(row *s, int i) {
  int cs = 1 << (N - 1 - i), ts = cs >> 1;
  for (int hi = cs; hi < D; hi += 2 * cs)
    for (int lo = 0; lo < ts; lo++) {
      row t;
      memcpy(t, s[hi + lo], sizeof t);
      memcpy(s[hi + lo], s[hi + lo + ts], sizeof t);
      memcpy(s[hi + lo + ts], t, sizeof t);
    }
}

static void forward(row *s) {
  for (int l = 0; l < L; l++) {
    for (int i = 0; i < N; i++) one_qubit(s, i, G[l][i]);
    for (int i = 0; i < N - 1; i++) cnot(s, i);
  }
}

static void dagger(const float *g, float *h) {
  h[0] = g[0]; h[1] = -g[1]; h[2] = g[4]; h[3] = -g[5];
  h[4] = g[2]; h[5] = -g[3]; h[6] = g[6]; h[7] = -g[7];
}

static void gradient(row *p, row *w, int i, float *o) {
  int st = 1 << (N - 1 - i);
  float acc[8][B];
  memset(acc, 0, sizeof acc);
  for (int hi = 0; hi < D; hi += 2 * st)
    for (int lo = 0; lo < st; lo++) {
      float *p0r = p[hi + lo][0], *p0i = p[hi + lo][1], *p1r = p[hi + lo + st][0], *p1i = p[hi + lo + st][1];
      float *w0r = w[hi + lo][0], *w0i = w[hi + lo][1], *w1r = w[hi + lo + st][0], *w1i = w[hi + lo + st][1];
      for (int b = 0; b < B; b++) {
        acc[0][b] += w0r[b] * p0r[b] + w0i[b] * p0i[b]; acc[1][b] += w0i[b] * p0r[b] - w0r[b] * p0i[b];
        acc[2][b] += w0r[b] * p1r[b] + w0i[b] * p1i[b]; acc[3][b] += w0i[b] * p1r[b] - w0r[b] * p1i[b];
        acc[4][b] += w1r[b] * p0r[b] + w1i[b] * p0i[b]; acc[5][b] += w1i[b] * p0r[b] - w1r[b] * p0i[b];
        acc[6][b] += w1r[b] * p1r[b] + w1i[b] * p1i[b]; acc[7][b] += w1i[b] * p1r[b] - w1r[b] * p1i[b];
      }
    }
  for (int k = 0; k < 8; k++) {
    o[k] = 0;
    for (int b = 0; b < B; b++) o[k] += acc[k][b];
  }
}

static void backward(row *p, row *w) {
  float h[8];
  for (int l = L - 1; l >= 0; l--) {
    for (int i = N - 2; i >= 0; i--) { cnot(p, i); cnot(w, i); }
    for (int i = N - 1; i >= 0; i--) {
      dagger(G[l][i], h);
      one_qubit(p, i, h);
      gradient(p, w, i, dG[l][i]);
      one_qubit(w, i, h);
    }
  }
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e3 * t.tv_sec + 1e-6 * t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  double times[REPEATS], norm = 0;
  for (int k = 0; k < D; k++)
    for (int c = 0; c < 2; c++)
      for (int b = 0; b < B; b++) psi[k][c][b] = drand48() - .5;
  for (int l = 0; l < L; l++)
    for (int i = 0; i < N; i++) {
      double a = drand48(), e = drand48(), f = drand48(), c = cos(a), s = sin(a);
      float g[8] = {c * cos(e), c * sin(e), -s * cos(f), -s * sin(f), s * cos(f), -s * sin(f), c * cos(e), -c * sin(e)};
      memcpy(G[l][i], g, sizeof g);
    }
  for (int r = -2; r < REPEATS; r++) { /* two to warm up */
    double start = now_ms();
    forward(psi);
    memcpy(lam, psi, sizeof psi);
    for (int k = 0; k < D / 2; k++)
      for (int b = 0; b < B; b++) { lam[k][0][b] *= -1; lam[k][1][b] *= -1; } /* Z on the first qubit */
    backward(psi, lam);
    if (r >= 0) times[r] = now_ms() - start;
  }
  for (int l = 0; l < L; l++) /* so that no compiler leaves the gradient out */
    for (int i = 0; i < N; i++)
      for (int k = 0; k < 8; k++) norm += (double)dG[l][i][k] * dG[l][i][k];
  qsort(times, REPEATS, sizeof *times, by_size);
  printf("{\"workload\": \"limit\", \"ms\": %.4f}\n", norm > 0 ? times[REPEATS / 2] : -1);
  return 0;
}
