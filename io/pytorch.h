// Weights from PyTorch and back: a state dict in a safetensors file.
//
//     safetensors.torch.save_file(net.state_dict(), "lenet.safetensors")            # Python
//
//     load_pytorch(net, "lenet.safetensors", {.input = {1, 28, 28, 1}});            // C++
//     save_pytorch(net, "tuned.safetensors", {.input = {1, 28, 28, 1}, .like =
//     "lenet.safetensors"});
//
//     net.load_state_dict(safetensors.torch.load_file("tuned.safetensors"))         # Python
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ramp/layers/module.h"

namespace ramp {

struct PyTorchOptions {
  /// The shape of an input, with its batch axis: the model is run once (in evaluation, on zeros),
  /// which shows where an image is flattened. Needed where a model with Dense layers has Flatten,
  /// Reshape or modules of your own.
  Shape input = {};
  /// The same for a model that takes anything else: a forward pass. Inputs that are images take
  /// part if they require a gradient: `[&] { net(image.requires_grad_(), ids); }`.
  std::function<void()> forward = nullptr;
  /// For what the run does not show: the channels of the image that is flattened in front of a
  /// layer, by the layer's path; 0: nothing is turned. `{{"head", 64}}`
  std::map<std::string, int64_t> flattened = {};

  /// Regular expressions (of std::regex) and what is put for them: the first one that is found in a
  /// name is replaced, or with "" the tensor is left out. load_pytorch makes names of the model of
  /// those in the file, save_pytorch the reverse: `{{"^features\\.", "body."}}`. `{{"", "$&"}}`
  /// says that names are as they are.
  std::vector<std::pair<std::string, std::string>> names = {};
  /// save_pytorch: the names are those of this file, which fits the model as for load_pytorch.
  std::string like = {};
  bool strict = true;  // load_pytorch; false: what does not fit is left as it is, and returned
};

/// Copies the weights of a PyTorch model. Which layer holds a tensor says how it is turned:
///
/// | layer                   | PyTorch's weight         | ramp's                           |
/// |-------------------------|--------------------------|----------------------------------|
/// | Dense                   | [out, in]                | [in, out]                        |
/// | Conv2d, Conv1d          | [k, c / groups, kh, kw]  | [kh, kw, c / groups, k]          |
/// | ConvTranspose2d, 1d     | [c, k / groups, kh, kw]  | [kh, kw, k / groups, c]          |
/// | BatchNorm, LayerNorm .. | num_batches_tracked too  | has none                         |
/// | PReLU                   | weight                   | slope                            |
/// | Dense behind Flatten    | rows in order c, h, w    | in order h, w, c                 |
/// | Dense before Reshape    | columns in order c, h, w | in order h, w, c                 |
/// | Embedding, EmbeddingBag | [n, d]                   | [n, d]                           |
/// | modules of your own     |                          | parameters as they lie           |
///
/// The path may be the index of a model in several files, "model.safetensors.index.json".
/// Images stay channels last: [n, h, w, c] here is [n, c, h, w] there. What stands between Flatten
/// and Dense (norms, PReLU) is turned as well; Flatten({.channels_first = true}) turns nothing.
///
/// Names: where all are the same, or .names has rules, by name. Else layer by layer: by shapes, and
/// among layers of the same shapes by order, numbers in names counting as numbers (the file itself
/// is sorted by name). That is refused where it could go wrong: layers of the same shapes whose
/// names differ in more than numbers, as "encoder.0" and "decoder.0".
/// Returns what was left if not strict, a line each. F16 and BF16 become f32.
/// Errors: those of load_safetensors; a tensor that is missing, extra or of another shape, named
/// with both names and shapes; names that can't be decided; a Dense or a norm for which the run
/// does not show what its features are. Nothing has changed then.
std::vector<std::string> load_pytorch(ModuleBase& net, const std::string& path,
                                      const PyTorchOptions& options = {});

/// The reverse: a file whose tensors load_state_dict() takes, strictly. Named by the model's paths
/// with PyTorch's last parts ("0.running_mean"), through .names or as in the file .like. BatchNorm
/// gets num_batches_tracked (0: no one reads it where momentum is a number).
/// Errors: as above; those of save_safetensors; a name that torch.load() would be used for (.pt).
void save_pytorch(ModuleBase& net, const std::string& path, const PyTorchOptions& options = {});

}  // namespace ramp
