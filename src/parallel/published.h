#pragma once
// Values read from HyPar's figures (arXiv 1901.02067), in the order of graph::hypar_names().

#include <array>
#include <string>

namespace taut::parallel::published {

inline constexpr std::size_t kNetworks = 10;
using ByNetwork = std::array<double, kNetworks>;

/// Figure 5: layers' splits at H1..H4, 1: model parallel.
inline const std::array<std::string, kNetworks> kPlans = {
    "1111 1111 0111 1111",
    "0000 0000 0000 0000",
    "0011 0010 0000 0011",
    "00000 00000 00010 00111",
    "00000111 00000111 00000111 00000100",
    "00000000111 00000000111 00000000111 00000001111",
    "0000000000111 0000000000111 0000000000111 0000000001111",
    "0000000000000111 0000000000000111 0000000000000111 0000000000000111",
    "0000000000000111 0000000000000111 0000000000000111 0000000000001111",
    "0000000000000000111 0000000000000000111 0000000000000000111 0000000000000001111"};

/// Figure 6: speed over data parallelism.
inline constexpr ByNetwork kModelSpeed = {22.19, 0.0374, 0.469, 0.1,  0.183,
                                          0.346, 0.14,   0.121, 0.13, 0.123};
inline constexpr ByNetwork kHyparSpeed = {23.48, 1.00, 3.05, 1.23, 3.27,
                                          4.97,  4.06, 3.92, 3.21, 2.73};
inline constexpr double kModelSpeedMean = 0.241;
inline constexpr double kHyparSpeedMean = 3.39;

/// Figure 7: energy efficiency over data parallelism.
inline constexpr ByNetwork kModelEnergy = {9.96,  0.198, 0.486, 0.169, 0.421,
                                           0.549, 0.348, 0.321, 0.365, 0.377};
inline constexpr ByNetwork kHyparEnergy = {10.27, 1.00, 1.81, 1.03, 1.19,
                                           1.35,  1.22, 1.21, 1.16, 1.13};
inline constexpr double kModelEnergyMean = 0.474;
inline constexpr double kHyparEnergyMean = 1.51;

/// Figure 8: gigabytes communicated in a step.
inline constexpr ByNetwork kDataBytes = {16.9, 0.0121, 0.0517, 0.0174, 2.00,
                                         15.9, 16.0,   16.0,   16.6,   17.2};
inline constexpr ByNetwork kModelBytes = {0.723, 0.48, 0.112, 0.206, 13.0,
                                          50.1,  134,  157,   157,   180};
inline constexpr ByNetwork kHyparBytes = {0.681, 0.0121, 0.0161, 0.0135, 0.289,
                                          1.47,  1.47,   1.58,   2.13,   2.76};
inline constexpr double kDataBytesMean = 1.83;
inline constexpr double kModelBytesMean = 8.88;
inline constexpr double kHyparBytesMean = 0.318;

/// Figure 9: the best speed over all plans of Lenet-c's levels H1 and H4.
inline constexpr double kPeakSpeed = 3.05;

/// Figure 11: VGG-E on 2 to 64 accelerators, read off the plot: gain over one accelerator,
/// gigabytes.
inline constexpr std::array<double, 6> kScalingHypar = {1.99, 3.90, 7.15, 10.72, 11.15, 8.25};
inline constexpr std::array<double, 6> kScalingData = {1.95, 3.47, 4.66, 3.93, 2.34, 1.22};
inline constexpr std::array<double, 6> kScalingBytes = {0.205, 0.588, 1.33, 2.765, 5.243, 9.470};

/// Figure 12: geometric mean of speed on the torus over data parallelism on the H-tree.
inline constexpr double kTorusMean = 2.2;

}  // namespace taut::parallel::published
