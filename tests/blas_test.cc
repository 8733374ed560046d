#include "ramp/core/blas.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <sys/wait.h>

#include <cstdlib>
#include <thread>
#include <vector>

extern "C" {
__attribute__((weak)) char* gotoblas_corename(void);
__attribute__((weak)) int openblas_get_num_threads(void);
double cblas_ddot(int n, const double* x, int inc_x, const double* y, int inc_y);
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                 const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
}

using namespace ramp;

// Forked, since the kernels are chosen once: these run before the process itself does so.
TEST_CASE("OPENBLAS_CORETYPE, set by the user, wins, and is called slow where it is") {
  if (!gotoblas_corename) return;  // no choice to make
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // OpenBLAS read the variable when it was loaded; what counts is that ramp leaves its choice.
    const std::string before = gotoblas_corename();
    setenv("OPENBLAS_CORETYPE", before.c_str(), 1);
    _exit(blas_info().core == before && std::getenv("OPENBLAS_CORETYPE") == before ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("the kernels are not below the CPU, and the environment is left as it was") {
  const bool set_by_user = std::getenv("OPENBLAS_CORETYPE") != nullptr;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(prepare_blas);
  for (std::thread& t : threads) t.join();
  const BlasInfo info = blas_info();
  CHECK_FALSE(info.core.empty());
  if (!set_by_user) {
    CHECK_FALSE(info.slow);
    CHECK(std::getenv("OPENBLAS_CORETYPE") == nullptr);
  }
  if (openblas_get_num_threads) CHECK(openblas_get_num_threads() == 1);
}

TEST_CASE("it computes") {
  prepare_blas();
  const double x[] = {1, 2, 3}, y[] = {4, 5, 6};
  CHECK(cblas_ddot(3, x, 1, y, 1) == 32);
  const int n = 100;
  std::vector<float> a(n * n), b(n * n), c(n * n);
  for (int i = 0; i < n * n; ++i) {
    a[i] = static_cast<float>(i % 7 - 3);
    b[i] = static_cast<float>(i % 5 - 2);
  }
  cblas_sgemm(101, 111, 111, n, n, n, 1, a.data(), n, b.data(), n, 0, c.data(), n);
  for (int i = 0; i < n; i += 9) {
    for (int j = 0; j < n; j += 7) {
      float sum = 0;  // of small integers: exact
      for (int k = 0; k < n; ++k) sum += a[i * n + k] * b[k * n + j];
      CHECK(c[i * n + j] == sum);
    }
  }
}
