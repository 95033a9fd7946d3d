#pragma once
// Tests of kernels on each instruction set that this machine has.

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <string>

namespace taut::test {

/// Bodies of a suite that derives from it run on the instruction set that is their parameter.
class EveryTarget : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

/// The parameters: instruction sets that kernels are compiled for and that are present.
inline auto every_target() {
  return testing::ValuesIn(hwy::SupportedAndGeneratedTargets());
}

/// The name of a parameter.
inline std::string target_name(const testing::TestParamInfo<std::int64_t>& target) {
  return hwy::TargetName(target.param);
}

}  // namespace taut::test
