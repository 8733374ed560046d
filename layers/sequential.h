// Layers one after the other.
#pragma once

#include <concepts>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ramp/layers/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

/// Holds its layers, named "0", "1", ...: `Sequential net{Dense(784, 128, ReLU{}), Dense(128,
/// 10)}`. Takes modules by value, and activations (`ReLU{}`) as layers of their own.
class Sequential final : public Module {
 public:
  template <typename... Layers>
  requires(sizeof...(Layers) > 0 &&
           !(sizeof...(Layers) == 1 && (std::same_as<std::remove_cvref_t<Layers>, Sequential> &&
                                        ...))) explicit Sequential(Layers&&... layers) {
    (add(std::forward<Layers>(layers)), ...);
  }
  Sequential() = default;
  Sequential(const Sequential& other) : Module(other) {
    for (const auto& slot : other.slots_) push(slot->copy());
  }
  Sequential& operator=(Sequential other) {
    Module::operator=(other);
    slots_ = std::move(other.slots_);
    layers_ = std::move(other.layers_);
    return *this;
  }
  Sequential(Sequential&&) = default;

  template <std::derived_from<Module> M>
  Sequential& add(M layer) {
    push(std::make_unique<SlotOf<M>>(std::move(layer)));
    return *this;
  }
  template <ActivationRule A>
  Sequential& add(A activation) {
    return add(Activate(std::move(activation)));
  }

  size_t size() const { return slots_.size(); }
  /// Errors: no such layer.
  Module& operator[](size_t i) {
    if (i >= slots_.size()) fail("Sequential: expected an index below {}; got {}.", size(), i);
    return *layers_[i];
  }
  template <typename M>
  M& get(size_t i) {
    M* layer = dynamic_cast<M*>(&(*this)[i]);
    if (!layer)
      fail("Sequential: layer {} is {}, not the type asked for.", i, (*this)[i].describe());
    return *layer;
  }

  Tensor forward(const Tensor& x) override {
    const std::span<Module* const> layers = layers_;
    Tensor y = x;
    for (size_t i = 0; i < layers.size();) {
      Fused fused = layers[i]->call(y, layers.subspan(i + 1));
      y = std::move(fused.y);
      i += 1 + fused.took;
    }
    return y;
  }
  void fields(Fields& f) override {
    for (size_t i = 0; i < size(); ++i) f.child(std::to_string(i), *layers_[i]);
  }
  std::string describe() const override { return "Sequential"; }

 private:
  // Keeps the layer's type, so that a copy is one of the layer and not of its base.
  struct Slot {
    virtual ~Slot() = default;
    virtual Module& module() = 0;
    virtual std::unique_ptr<Slot> copy() const = 0;
  };
  template <typename M>
  struct SlotOf final : Slot {
    M layer;
    explicit SlotOf(M m) : layer(std::move(m)) {}
    Module& module() override { return layer; }
    std::unique_ptr<Slot> copy() const override {
      if constexpr (std::copy_constructible<M>) return std::make_unique<SlotOf>(layer);
      fail("Sequential: the layer {} cannot be copied.", layer.describe());
    }
  };
  void push(std::unique_ptr<Slot> slot) {
    layers_.push_back(&slot->module());
    slots_.push_back(std::move(slot));
  }
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Module*> layers_;  // those in the slots
};

}  // namespace ramp
