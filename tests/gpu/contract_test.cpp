// The contract on a device: the composition in fp32, and the fused blocks in bf16, both with algorithms that repeat their bits.
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/contract.h"

namespace lacuna {
namespace {

using namespace testing;

class DeviceContract : public ::testing::TestWithParam<ContractCase> {
 protected:
  void SetUp() override {
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);  // or LibTorch refuses cuBLAS here
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  }
  void TearDown() override { at::globalContext().setDeterministicAlgorithms(false, false); }
};

TEST_P(DeviceContract, Holds) {
  ContractRun run(GetParam().pair, GetParam().place);
  GetParam().clause.holds(run);
}

const Place kPlaces[] = {{.name = "fp32", .device = at::Device(at::kCUDA, 0)},
                         {.name = "fused_bf16", .device = at::Device(at::kCUDA, 0), .compute = at::kBFloat16, .fused = true}};
INSTANTIATE_TEST_SUITE_P(Catalog, DeviceContract, ::testing::ValuesIn(contract_cases(kPlaces)),
                         [](const auto& tested) { return tested.param.name(); });

}  // namespace
}  // namespace lacuna
