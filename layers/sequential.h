// Layers one after the other.
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "ramp/autograd/node.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

/// A module by value, or an activation.
template <typename L>
concept SequentialLayer = std::derived_from<L, Module> || ActivationRule<L>;

/// Holds its layers, named "0", "1", ...: `Sequential net{Dense(784, 128, ReLU{}), Dense(128,
/// 10)}`. Takes modules by value, and activations (`ReLU{}`) as layers of their own; what is done
/// later to the original of a layer is not done to the net's: write `net[0].freeze()`.
/// `Dense(784, 128), ReLU{}` starts with the same weights as `Dense(784, 128, ReLU{})`, and runs in
/// one pass as well; so do convolutions. With BatchNorm in between the gain stays 1: the norm takes
/// the scale out.
class Sequential : public Module {
  // A layer, and what takes its type: a copy is one of the layer and not of its base.
  struct Slot {
    std::unique_ptr<Module> layer;
    std::unique_ptr<Module> (*copy)(const Module& layer);
    bool (*assign)(Module& layer, const Module& other);  // false: other is of another type
  };

 public:
  template <typename... Layers>
  requires(sizeof...(Layers) > 0 &&
           !(sizeof...(Layers) == 1 && (std::same_as<std::remove_cvref_t<Layers>, Sequential> &&
                                        ...))) explicit Sequential(Layers&&... layers) {
    (add(std::forward<Layers>(layers)), ...);
  }
  Sequential() = default;
  Sequential(const Sequential& other) : Module(other) {
    for (const Slot& s : other.slots_) slots_.push_back({s.copy(*s.layer), s.copy, s.assign});
  }
  Sequential(Sequential&&) = default;
  /// Layer by layer, as Parameter = Parameter, where the types are the same; else the layers are
  /// replaced.
  Sequential& operator=(Sequential other) {
    Module::operator=(other);
    bool same = size() == other.size();
    for (size_t i = 0; same && i < size(); ++i) same = slots_[i].assign((*this)[i], other[i]);
    if (same) return *this;
    for (Module& layer : *this) forget(layer);
    slots_ = std::move(other.slots_);
    return *this;
  }

  template <SequentialLayer L>
  Sequential& add(L layer) {
    slots_.push_back(slot_of(std::move(layer)));
    place(size() - 1);
    return *this;
  }
  /// The layers of another one, at the end.
  Sequential& append(Sequential other) {
    for (Slot& slot : other.slots_) {
      slots_.push_back(std::move(slot));
      place(size() - 1);
    }
    return *this;
  }
  /// Puts another layer, of any type, in the place of layer i. An optimizer is made afterwards.
  template <SequentialLayer L>
  Sequential& replace(size_t i, L layer) {
    forget((*this)[i]);
    slots_[i] = slot_of(std::move(layer));
    place(i);
    return *this;
  }
  /// A copy of the first k layers. Errors: fewer than k.
  Sequential first(size_t k) const {
    if (k > size()) fail("Sequential: expected at most {} layers; got {}.", size(), k);
    Sequential copy = *this;
    copy.slots_.resize(k);
    return copy;
  }

  size_t size() const { return slots_.size(); }
  /// Errors: no such layer.
  Module& operator[](size_t i) {
    if (i >= size()) fail("Sequential: expected an index below {}; got {}.", size(), i);
    return *slots_[i].layer;
  }
  template <typename M>
  M& get(size_t i) {
    M* layer = dynamic_cast<M*>(&(*this)[i]);
    if (!layer)
      fail("Sequential: layer {} is {}, not the type asked for.", i, (*this)[i].describe());
    return *layer;
  }
  /// `for (Module& layer : net)`.
  struct Iterator {
    const Slot* at;
    Module& operator*() const { return *at->layer; }
    Iterator& operator++() { return ++at, *this; }
    bool operator==(const Iterator&) const = default;
  };
  Iterator begin() const { return {slots_.data()}; }
  Iterator end() const { return {slots_.data() + size()}; }

  Tensor forward(const Tensor& x) override;
  void start_before(const Activation& f) override {
    if (size() > 0) slots_.back().layer->start_before(f);
  }
  void fields(Fields& f) override {
    for (size_t i = 0; i < size(); ++i) f.child(std::to_string(i), *slots_[i].layer);
  }
  std::string describe() const override { return "Sequential"; }

 private:
  template <typename L>
  static Slot slot_of(L layer) {
    if constexpr (ActivationRule<L>) {
      return slot_of(Activate(std::move(layer)));
    } else {
      const auto copy = [](const Module& layer) -> std::unique_ptr<Module> {
        if constexpr (std::copy_constructible<L>) {
          return std::make_unique<L>(static_cast<const L&>(layer));
        }
        fail("Sequential: the layer {} cannot be copied.", layer.describe());
      };
      const auto assign = [](Module& layer, const Module& other) {
        const bool same = std::is_copy_assignable_v<L> && typeid(other) == typeid(L);
        if constexpr (std::is_copy_assignable_v<L>) {
          if (same) static_cast<L&>(layer) = static_cast<const L&>(other);
        }
        return same;
      };
      return {std::make_unique<L>(std::move(layer)), copy, assign};
    }
  }
  // Slot i is new.
  void place(size_t i);
  // Whoever holds its parameters is told that they are not the net's any more.
  static void forget(Module& layer) {
    for (const Tensor& p : layer.parameters()) mark_replaced(p);
  }

  std::vector<Slot> slots_;
};

}  // namespace ramp
