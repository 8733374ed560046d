// The main() of every test program.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>

// Out of memory is tested: the sanitizers should return null, as malloc does.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

int main(int argc, char** argv) {
#if defined(__x86_64__)
  // Without AVX-512, v3 is what the plain run takes already, or more than the CPU has. ctest sees
  // a skipped test in the 77.
  const char* level = std::getenv("RAMP_ISA");
  if (level && std::string_view(level) == "v3" && !__builtin_cpu_supports("avx512f")) return 77;
#endif
  return doctest::Context(argc, argv).run();
}
