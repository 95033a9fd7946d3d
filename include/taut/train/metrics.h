#pragma once
// Quality of a classifier: taut/infer/quality.h under the names of training.

#include "taut/infer/quality.h"

namespace taut::train {

using infer::area_under_curve;
using infer::ClickQuality;
using infer::cross_entropy;
using infer::measure_quality;
using infer::Quality;

}  // namespace taut::train
