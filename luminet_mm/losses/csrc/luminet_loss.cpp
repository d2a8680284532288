// The LumiNet loss of float32 logits on a CPU, and its gradient, in few passes.
//
// Two standardisations, two softmaxes and the divergence have a joint closed form.
// With the student's perception h = (z - mean) / sigma and the teacher's k, both
// divided by tau, their softmaxes p and q, and the gradient g_i of the loss of row i,
//
//   loss_i = sum_j q_ij (k_ij - h_ij) + logsumexp(h_i) - logsumexp(k_i)
//   G_ij   = g_i (p_ij - q_ij) / tau
//   dz_ij  = (G_ij - mean_i(G_ij) - h_ij tau mean_i(G_ij h_ij tau)) / sigma_j
//
// so that all the backward pass needs is p - q, z and its statistics.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

// Compiled once for each width of vectors; the loader takes what the processor has.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12  // knows the level that has fused multiplication beside AVX2
#define VECTORISED __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default")))
#else
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define VECTORISED
#endif

namespace {

constexpr int64_t kGrain = 16384;  // logits that are worth a thread of their own

// exp(x) for x <= 0, to 2 units in the last place; exp(-87) below that. A polynomial
// of the distance to the next multiple of log(2), because calls do not vectorise.
inline float exp_negative(float x) {
  x = x < -87.f ? -87.f : x;
  const float shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2**23 rounds it
  const float n = shifted - 12582912.f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float y = 1.f / 5040;
  y = y * r + 1.f / 720;
  y = y * r + 1.f / 120;
  y = y * r + 1.f / 24;
  y = y * r + 1.f / 6;
  y = y * r + 0.5f;
  y = y * r * r + r + 1.f;
  union {
    int32_t bits;
    float value;
  } power_of_two;
  power_of_two.bits = (static_cast<int32_t>(n) + 127) * (1 << 23);
  return y * power_of_two.value;
}

// A matrix of logits by rows. Values count from the first row, which changes nothing,
// keeps a constant class exactly zero and large logits exact.
struct Logits {
  const float* data;
  int64_t N, C;
  std::vector<float> mean{}, scale{};  // one a class: mean, 1 / sigma
};

VECTORISED void add_values(const Logits& z, int64_t begin, int64_t end, float* sum) {
  const float* first = z.data;
  for (int64_t i = begin; i < end; ++i) {
    const float* row = z.data + i * z.C;
#pragma omp simd
    for (int64_t j = 0; j < z.C; ++j) sum[j] += row[j] - first[j];
  }
}

VECTORISED void add_squares(const Logits& z, int64_t begin, int64_t end, float* sum) {
  const float *first = z.data, *mean = z.mean.data();
  for (int64_t i = begin; i < end; ++i) {
    const float* row = z.data + i * z.C;
#pragma omp simd
    for (int64_t j = 0; j < z.C; ++j) {
      const float centred = row[j] - first[j] - mean[j];
      sum[j] += centred * centred;
    }
  }
}

// Losses of rows and their p - q; `q` is room for one row
VECTORISED void compare(const Logits& S, const Logits& T, float tau, int64_t begin,
                        int64_t end, float* q, float* loss, float* difference) {
  const int64_t C = S.C;
  const float *first_S = S.data, *mean_S = S.mean.data(), *scale_S = S.scale.data();
  const float *first_T = T.data, *mean_T = T.mean.data(), *scale_T = T.scale.data();
  const float per_tau = 1 / tau;  // divisions are slow
  for (int64_t i = begin; i < end; ++i) {
    const float *row_S = S.data + i * C, *row_T = T.data + i * C;
    float* p = difference + i * C;
    float max_S = -INFINITY, max_T = -INFINITY;
#pragma omp simd reduction(max : max_S, max_T)
    for (int64_t j = 0; j < C; ++j) {
      p[j] = (row_S[j] - first_S[j] - mean_S[j]) * scale_S[j] * per_tau;
      q[j] = (row_T[j] - first_T[j] - mean_T[j]) * scale_T[j] * per_tau;
      max_S = p[j] > max_S ? p[j] : max_S;
      max_T = q[j] > max_T ? q[j] : max_T;
    }
    float sum_S = 0, sum_T = 0, dot = 0;
#pragma omp simd reduction(+ : sum_S, sum_T, dot)
    for (int64_t j = 0; j < C; ++j) {
      const float h = p[j] - max_S, k = q[j] - max_T;
      p[j] = exp_negative(h);
      q[j] = exp_negative(k);
      sum_S += p[j];
      sum_T += q[j];
      dot += q[j] * (k - h);
    }
    const float per_sum_S = 1 / sum_S, per_sum_T = 1 / sum_T;
#pragma omp simd
    for (int64_t j = 0; j < C; ++j) p[j] = p[j] * per_sum_S - q[j] * per_sum_T;
    loss[i] = dot / sum_T + std::log(sum_S / sum_T);
  }
}

// Columns' sums of G, and of G (z - mean)
VECTORISED void add_gradients(const Logits& z, const float* g, const float* difference,
                              int64_t begin, int64_t end, float* sum, float* dot) {
  const float *first = z.data, *mean = z.mean.data();
  for (int64_t i = begin; i < end; ++i) {
    const float *row = z.data + i * z.C, *d = difference + i * z.C;
#pragma omp simd
    for (int64_t j = 0; j < z.C; ++j) {
      const float G = g[i] * d[j];
      sum[j] += G;
      dot[j] += G * (row[j] - first[j] - mean[j]);
    }
  }
}

VECTORISED void to_logits(const Logits& z, const float* g, const float* difference,
                          const float* sum, const float* dot, int64_t begin,
                          int64_t end, float* dz) {
  const float *first = z.data, *mean = z.mean.data(), *scale = z.scale.data();
  for (int64_t i = begin; i < end; ++i) {
    const float *row = z.data + i * z.C, *d = difference + i * z.C;
    float* out = dz + i * z.C;
#pragma omp simd
    for (int64_t j = 0; j < z.C; ++j) {
      const float centred = row[j] - first[j] - mean[j];
      out[j] = (g[i] * d[j] - sum[j] - centred * dot[j]) * scale[j];
    }
  }
}

template <typename F>
void for_rows(const Logits& z, const F& f) {
  at::parallel_for(0, z.N, std::max<int64_t>(1, kGrain / z.C), f);
}

// Means over rows of `width` values that f(begin, end, sums) adds to
template <typename F>
std::vector<float> mean_of_rows(const Logits& z, int64_t width, const F& f) {
  std::vector<std::vector<float>> sums(at::get_num_threads());
  for_rows(z, [&](int64_t begin, int64_t end) {
    auto& sum = sums[at::get_thread_num()];
    sum.resize(width);
    f(begin, end, sum.data());
  });
  std::vector<float> mean(width);
  for (const auto& sum : sums) {
    for (size_t j = 0; j < sum.size(); ++j) mean[j] += sum[j] / z.N;
  }
  return mean;
}

Logits standardised(const at::Tensor& logits, double eps) {
  Logits z{logits.data_ptr<float>(), logits.size(0), logits.size(1)};
  z.mean = mean_of_rows(z, z.C, [&](int64_t begin, int64_t end, float* sum) {
    add_values(z, begin, end, sum);
  });
  z.scale = mean_of_rows(z, z.C, [&](int64_t begin, int64_t end, float* sum) {
    add_squares(z, begin, end, sum);
  });
  for (auto& value : z.scale) value = 1 / std::sqrt(value + eps);
  return z;
}

// Losses, shape (N,), the differences p - q, shape (N, C), and the statistics of the
// student's logits, shape (2, C), for the way back. Logits are contiguous.
std::tuple<at::Tensor, at::Tensor, at::Tensor> luminet_loss(
    const at::Tensor& preds_S, const at::Tensor& preds_T, double tau, double eps) {
  TORCH_CHECK(preds_S.dim() == 2 && preds_S.size(1) > 0 &&
                  preds_S.sizes() == preds_T.sizes(),
              "luminet_loss compares two matrices of one shape (samples, classes), got ",
              preds_S.sizes(), " and ", preds_T.sizes());
  const auto S = standardised(preds_S, eps), T = standardised(preds_T, eps);
  auto loss = at::empty({S.N}, preds_S.options());
  auto difference = at::empty_like(preds_S);
  auto statistics = at::empty({2, S.C}, preds_S.options());
  float *losses = loss.data_ptr<float>(), *differences = difference.data_ptr<float>();
  for_rows(S, [&](int64_t begin, int64_t end) {
    std::vector<float> room(S.C);
    compare(S, T, tau, begin, end, room.data(), losses, differences);
  });
  std::copy(S.mean.begin(), S.mean.end(), statistics.data_ptr<float>());
  std::copy(S.scale.begin(), S.scale.end(), statistics.data_ptr<float>() + S.C);
  return {loss, difference, statistics};
}

// The gradient of the student's logits, shape (N, C), from that of the losses, (N,)
at::Tensor luminet_loss_backward(
    const at::Tensor& grad, const at::Tensor& preds_S, const at::Tensor& difference,
    const at::Tensor& statistics, double tau) {
  const int64_t N = preds_S.size(0), C = preds_S.size(1);
  const float* values = statistics.data_ptr<float>();
  const Logits z{preds_S.data_ptr<float>(), N, C,
                 {values, values + C}, {values + C, values + 2 * C}};
  const auto grad_of_rows = (grad / tau).contiguous();
  const float *g = grad_of_rows.data_ptr<float>(), *d = difference.data_ptr<float>();
  auto means = mean_of_rows(z, 2 * C, [&](int64_t begin, int64_t end, float* sums) {
    add_gradients(z, g, d, begin, end, sums, sums + C);
  });
  float *mean = means.data(), *dot = mean + C;
  for (int64_t j = 0; j < C; ++j) dot[j] *= z.scale[j] * z.scale[j];
  auto grad_S = at::empty_like(preds_S);
  float* out = grad_S.data_ptr<float>();
  for_rows(z, [&](int64_t begin, int64_t end) {
    to_logits(z, g, d, mean, dot, begin, end, out);
  });
  return grad_S;
}

}  // namespace

TORCH_LIBRARY(luminet_mm, library) {
  library.def(
      "luminet_loss(Tensor preds_S, Tensor preds_T, float tau, float eps)"
      " -> (Tensor, Tensor, Tensor)",
      luminet_loss);
  library.def(
      "luminet_loss_backward(Tensor grad, Tensor preds_S, Tensor difference,"
      " Tensor statistics, float tau) -> Tensor",
      luminet_loss_backward);
}
