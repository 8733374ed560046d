#include "ramp/data/dataset.h"

namespace ramp {

Dataset Dataset::flat() const {
  check_defined("flat", "x", x);
  return {x.view({x.dim(0), x.shape().without(0).numel()}), y};
}

}  // namespace ramp
