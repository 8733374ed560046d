#include "ramp/glass/lessons.h"

#include <functional>
#include <utility>

#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/data/new_file.h"
#include "ramp/glass/gradcheck_table.h"
#include "ramp/glass/step.h"

namespace ramp {
namespace {

using Words = std::pair<std::string, std::string>;  // English, Portuguese

struct Lesson {
  const char* name;
  Words title, text;
  std::function<Tensor(TapeWatch&)> loss;
};

Tensor number(double v) { return Tensor::scalar(v, f64); }
Tensor variable(double v) { return Tensor::scalar(v, f64).requires_grad_(); }
Tensor variable(const std::vector<double>& v, const Shape& shape) {
  return Tensor::of(v, shape).requires_grad_();
}

// L = 0.37 y: what comes back to y is 0.37.
Tensor weighed(TapeWatch& t, const Tensor& y) { return t.name("L", 0.37 * t.name("y", y)); }

const std::vector<Lesson>& list() {
  static const std::vector<Lesson> all = {
      {"relu",
       {"ReLU at −1", "ReLU em −1"},
       {"A ReLU passes on what comes back where x > 0, and nothing where x ≤ 0: a unit that is "
        "always negative learns no more.",
        "A ReLU deixa voltar o gradiente onde x > 0, e nada onde x ≤ 0: uma unidade que é sempre "
        "negativa não aprende mais."},
       [](TapeWatch& t) { return weighed(t, relu(t.name("x", variable(-1)))); }},
      {"leaky_relu",
       {"Leaky ReLU", "Leaky ReLU"},
       {"Below zero a little comes back, 0.01 of it: the unit can recover.",
        "Abaixo de zero volta um pouco, 0,01 dele: a unidade pode recuperar-se."},
       [](TapeWatch& t) { return weighed(t, leaky_relu(t.name("x", variable(-1)), 0.01)); }},
      {"prelu",
       {"PReLU", "PReLU"},
       {"The slope below zero is a parameter: it has a gradient of its own, ∂L/∂a.",
        "A inclinação abaixo de zero é um parâmetro: tem o seu próprio gradiente, ∂L/∂a."},
       [](TapeWatch& t) {
         const Tensor x = t.name("x", variable(-1)), a = t.name("a", variable({0.25}, {1}));
         return weighed(t, prelu(x, a));
       }},
      {"elu",
       {"ELU", "ELU"},
       {"The slope below zero falls smoothly with e^x: there is no kink, and no zero.",
        "A inclinação abaixo de zero cai suavemente com e^x: não há quina, nem zero."},
       [](TapeWatch& t) { return weighed(t, elu(t.name("x", variable(-1)))); }},
      {"neuron",
       {"A neuron", "Um neurônio"},
       {"A weight's gradient is what comes back times the weight's input. The error e is used "
        "twice in e · e, so two parts arrive and are added.",
        "O gradiente de um peso é o que volta vezes a entrada desse peso. O erro e é usado duas "
        "vezes em e · e, por isso chegam duas partes, que se somam."},
       [](TapeWatch& t) {
         const Tensor x1 = t.name("x1", number(1)), x2 = t.name("x2", number(-2)),
                      w1 = t.name("w1", variable(0.5)), w2 = t.name("w2", variable(-0.25)),
                      b = t.name("b", variable(0.1)), target = t.name("t", number(2));
         const Tensor p = t.name("p", w1 * x1), q = t.name("q", w2 * x2);
         const Tensor z = t.name("z", t.name("s", p + q) + b), y = t.name("y", relu(z));
         const Tensor e = t.name("e", y - target);
         return t.name("L", e * e);
       }},
      {"shared_weight",
       {"A shared weight", "Um peso compartilhado"},
       {"One weight in two places, as in a convolution or a recurrent net: each place adds its "
        "part, ∂L/∂w += ..",
        "Um peso em dois lugares, como numa convolução ou numa rede recorrente: cada lugar soma a "
        "sua parte, ∂L/∂w += .."},
       [](TapeWatch& t) {
         const Tensor x = t.name("x", number(2)), w = t.name("w", variable(0.5));
         const Tensor h = t.name("h", tanh(t.name("u", w * x)));
         return t.name("L", t.name("y", w * h) + 1);
       }},
      {"net_221",
       {"A 2-2-1 net", "Uma rede 2-2-1"},
       {"Two layers. The first hidden unit is off: its weights get nothing, and neither does what "
        "comes before it.",
        "Duas camadas. A primeira unidade oculta está desligada: os seus pesos não recebem nada."},
       [](TapeWatch& t) {
         const Tensor x = t.name("x", Tensor::of<double>({1, 2}, {1, 2}));
         const Tensor w1 = t.name("W", variable({-0.5, 0.3, 0.1, 0.4}, {2, 2})),
                      b1 = t.name("b", variable({0, 0.1}, {2})),
                      w2 = t.name("V", variable({0.6, -0.8}, {2, 1})),
                      b2 = t.name("c", variable({0.2}, {1}));
         const Tensor h = t.name("h", relu(t.name("z", linear(x, w1, b1))));
         const Tensor y = t.name("y", linear(h, w2, b2));
         return t.name("L", mse_loss(y, t.name("t", Tensor::of<double>({1}, {1, 1}))));
       }},
      {"softmax_cross_entropy",
       {"Softmax with cross entropy", "Softmax com entropia cruzada"},
       {"The gradient of the logits is p − t: what the model believes, less what is true. It is "
        "bounded, however wrong the model is.",
        "O gradiente dos logits é p − t: o que o modelo acredita, menos o que é verdade. É "
        "limitado, por mais errado que o modelo esteja."},
       [](TapeWatch& t) {
         const Tensor x = t.name("x", Tensor::of<double>({1, -1}, {1, 2}));
         const Tensor w = t.name("w", variable({0.8, -0.2, 0.3, -0.6, 0.4, 0.1}, {2, 3}));
         const Tensor z = t.name("z", linear(x, w));
         return t.name("L", cross_entropy(z, Tensor::of<int64_t>({2})));
       }},
      {"conv_3x3",
       {"A 3 × 3 convolution", "Uma convolução 3 × 3"},
       {"Each of the nine weights is used at each of the four places, and its gradient is the sum "
        "over them: the input, convolved with what comes back.",
        "Cada um dos nove pesos é usado em cada um dos quatro lugares, e o seu gradiente é a soma "
        "sobre eles: a entrada, convolvida com o que volta."},
       [](TapeWatch& t) {
         const Tensor x = t.name("x", variable({0, 1, 2, 1,  //
                                                1, 3, 1, 0,  //
                                                2, 1, 0, 1,  //
                                                0, 2, 1, 3},
                                               {1, 4, 4, 1}));
         const Tensor w = t.name("w", variable({1, 0, -1,  //
                                                2, 0, -2,  //
                                                1, 0, -1},
                                               {3, 3, 1, 1}));
         const Tensor y = t.name("y", relu(t.name("z", conv2d(x, w))));
         return t.name("L", mean(y));
       }},
  };
  return all;
}

std::string checked(Planted fault, const std::string& planted) {
  const Tensor x = variable({-1.5, -0.5, 0.25, 1, 2}, {5}),
               w = variable({0.5, -1, 2, 0.75, -0.4}, {5});
  return gradcheck_line(
      gradcheck_table([&] { return sum(faulty_silu(x, w, fault)); }, {{"x", x}, {"w", w}}),
      planted);
}

}  // namespace

GlassFile lessons() {
  GlassFile file{"lessons.glass", {}, false};
  const auto add = [&](const char* kind, std::string json) {
    file.records.push_back({kind, std::move(json)});
  };
  add("run",
      fmt::format(
          R"({{"kind":"run","version":{},"ramp":{},"title":"Backpropagation, step by step"}})",
          GlassFile::kVersion, glass_text(RAMP_VERSION)));
  for (const Lesson& l : list()) {
    TapeWatch watch;
    const Tensor loss = l.loss(watch);
    add("lesson", step_through(loss, watch).lesson(l.name, l.title, l.text));
  }
  add("gradcheck", checked(Planted::nothing, ""));
  add("gradcheck", checked(Planted::sign, "sign"));
  add("gradcheck", checked(Planted::factor, "factor 2"));
  add("gradcheck", checked(Planted::missing_term, "missing term"));
  add("end", R"({"kind":"end","step":0,"seconds":null,"reason":"done"})");
  return file;
}

void save_lessons(const std::string& path, const ReportOptions& options) {
  const std::string html = report_html({lessons()}, options);
  NewFile file("lessons", path);
  file.write(html.data(), html.size());
  file.finish();
}

}  // namespace ramp
