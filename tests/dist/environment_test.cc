#include "taut/dist/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "support/error_matchers.h"

namespace taut::dist {
namespace {

using test::error_of;
using test::IsError;

// Sets what torchrun sets, and takes all of it away at the end.
class EnvironmentOfTorchrun : public ::testing::Test {
 protected:
  EnvironmentOfTorchrun() {
    for (const auto& [name, value] : variables_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~EnvironmentOfTorchrun() override {
    for (const auto& [name, value] : variables_) ::unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::string> variables_ = {{"RANK", "3"},
                                                   {"WORLD_SIZE", "4"},
                                                   {"LOCAL_RANK", "1"},
                                                   {"LOCAL_WORLD_SIZE", "2"},
                                                   {"MASTER_ADDR", "10.0.0.7"},
                                                   {"MASTER_PORT", "29511"},
                                                   {"TORCHELASTIC_RESTART_COUNT", "2"},
                                                   {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
};

TEST_F(EnvironmentOfTorchrun, IsRead) {
  const std::optional<WorkerEnvironment> found = environment_of_torchrun();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->rank, 3);
  EXPECT_EQ(found->workers, 4);
  EXPECT_EQ(found->local_rank, 1);
  EXPECT_EQ(found->local_workers, 2);
  EXPECT_EQ(found->restart, 2);
  EXPECT_EQ(found->address, "10.0.0.7");
  EXPECT_EQ(found->port, 29511);
  EXPECT_FALSE(found->hosts);
}

TEST_F(EnvironmentOfTorchrun, LetsTheFirstWorkerHostWhereNoAgentDoes) {
  ::unsetenv("TORCHELASTIC_USE_AGENT_STORE");
  EXPECT_FALSE(environment_of_torchrun()->hosts);
  ::setenv("RANK", "0", 1);
  EXPECT_TRUE(environment_of_torchrun()->hosts);
}

TEST_F(EnvironmentOfTorchrun, IsNothingForAProcessAlone) {
  ::unsetenv("RANK");
  ::unsetenv("WORLD_SIZE");
  EXPECT_FALSE(environment_of_torchrun().has_value());
}

TEST_F(EnvironmentOfTorchrun, NamesWhatIsMissingOrWrong) {
  ::setenv("RANK", "4", 1);
  EXPECT_THAT(error_of([] { static_cast<void>(environment_of_torchrun()); }),
              IsError(ErrorKind::kConfig, "0..3"));
  ::setenv("RANK", "1x", 1);
  EXPECT_THAT(error_of([] { static_cast<void>(environment_of_torchrun()); }),
              IsError(ErrorKind::kConfig, "\"1x\""));
  ::unsetenv("RANK");
  EXPECT_THAT(error_of([] { static_cast<void>(environment_of_torchrun()); }),
              IsError(ErrorKind::kConfig, "RANK is not set"));
  ::setenv("RANK", "1", 1);
  ::unsetenv("MASTER_ADDR");
  EXPECT_THAT(error_of([] { static_cast<void>(environment_of_torchrun()); }),
              IsError(ErrorKind::kConfig, "MASTER_ADDR"));
}

}  // namespace
}  // namespace taut::dist
