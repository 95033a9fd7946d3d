#pragma once
// How much memory there is, asked before it is taken.

#include <string_view>

#include "taut/core/units.h"

namespace taut {

/// What this process can hold at most: the least of the machine's memory with its swap, the limits
/// of its control group and its own (RLIMIT_AS, RLIMIT_DATA). What others hold is not taken off.
[[nodiscard]] Bytes memory_there();

/// Throws kBudget, naming what was asked for and what there is, when that is more.
/// what: what asks, as in "a budget"; where: the key or argument that decides; mend: what to do.
void check_memory(Bytes asked, std::string_view what, std::string_view where,
                  std::string_view mend);

}  // namespace taut
