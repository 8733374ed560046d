// What a model does with its data, to be looked at: lines of a .glass file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ramp/autograd/record.h"
#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"

namespace ramp {

/// While it lives, this thread's modules and ops are told to `modules` and `ops` alone (null:
/// to none): who else looks at training does not see what it did not ask for.
class Alone : private NoCopy {
 public:
  explicit Alone(detail::Watch modules = nullptr, detail::OpWatch ops = nullptr)
      : modules_(std::exchange(detail::watch, modules)),
        ops_(std::exchange(detail::op_watch, ops)) {}
  ~Alone() {
    detail::watch = modules_;
    detail::op_watch = ops_;
  }

 private:
  const detail::Watch modules_;
  const detail::OpWatch ops_;
};

/// "images": ten examples, one of each class first, what each layer makes of them, |dL/dx|, and the
/// kernels that see pixels. "" where x is not images: [n, h, w, c] or [n, h, w] with 1 or 3
/// channels, or [n, h h c] of at least 8 x 8. In eval mode; no `grad` is touched.
std::string images_line(ModuleBase& net, const Dataset& data,
                        const std::function<Tensor(const Dataset&)>& loss, int64_t step);

/// "mistakes": the confusion matrix, examples of its cells and the most confident mistakes. ""
/// where y is not one i64 label for each example, or the model gives no logits [n, classes].
std::string mistakes_line(Module& net, const Dataset& data,
                          const std::vector<std::string>& class_names, int64_t step);

/// "boundary": what a model says of the plane. The first frame has the points, at most 400.
class BoundaryFilm {
 public:
  /// x [n, 2] of floats, y i64 [n].
  static bool suits(const Dataset& data);
  /// Errors: data that does not suit.
  explicit BoundaryFilm(const Dataset& data);
  std::string frame(Module& net, int64_t step);

 private:
  Dataset points_;
  double lo_[2], hi_[2];
  bool shown_ = false;
};

}  // namespace ramp
