// gpu_kernels_bench [FAMILY...]: times the device kernels of the named families, or of all of them.
#include <c10/cuda/CUDACachingAllocator.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>

#include "tests/bench/gpu/rows.h"

int main(int argc, char** argv) {
  using lacuna::bench::Family;
  std::vector<std::string> wanted(argv + 1, argv + argc);
  const auto families = lacuna::bench::families();
  for (const auto& name : wanted) {
    if (std::none_of(families.begin(), families.end(), [&](const Family& family) { return family.name == name; })) {
      std::fprintf(stderr, "there is no family '%s'; there are:", name.c_str());
      for (const auto& family : families) std::fprintf(stderr, " %s", family.name);
      std::fprintf(stderr, "\n");
      return 2;
    }
  }
  int status = 0;
  try {
    lacuna::bench::Table table;
    for (const auto& family : families) {
      if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), family.name) == wanted.end()) continue;
      try {
        family.rows(table);
      } catch (const std::exception& error) {  // the other families' figures are worth having all the same
        std::fprintf(stderr, "%s: %s\n", family.name, error.what());
        status = 1;
      }
      c10::cuda::CUDACachingAllocator::emptyCache();
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = 1;
  }
  return status;
}
