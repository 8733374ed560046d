#include "ramp/glass/plot_history.h"

#include <doctest/doctest.h>

#include "message.h"
#include "scratch.h"

using namespace ramp;

TEST_CASE("the curves of a history") {
  History h;
  for (int64_t e = 1; e <= 3; ++e) {
    h.rows.push_back({e,
                      10 * e,
                      0,
                      0.1,
                      {{"loss", {3.0 / static_cast<double>(e)}},
                       {"valid_loss", {1}},
                       {"valid_accuracy", {0.5}}}});
  }
  h.best_epoch = 2;
  const Plot p = plot(h);
  CHECK(p.title == "3 epochs, best 2");
  REQUIRE(p.series.size() == 2);
  CHECK(p.series[0].x == std::vector<double>{1, 2, 3});
  CHECK(p.series[0].y == std::vector<double>{3, 1.5, 1});
  CHECK_FALSE(p.series[0].dashed);
  CHECK(p.series[1].dashed);
  CHECK(plot(h, {"valid_accuracy"}).y_label == "valid_accuracy");
  CHECK(message([&] { plot(h, {"acc"}); }).find("history: expected one of its columns") == 0);
  CHECK(message([] { plot(History()); }) == "history: no epoch is done.");

  const Scratch folder;
  save_svg(folder.path("a.svg"), p);
  const std::vector<uint8_t> bytes = read_all(folder.path("a.svg"));
  CHECK(std::string(bytes.begin(), bytes.end()) == svg(p));
  CHECK(message([&] { save_svg(folder.path("no/a.svg"), p); }).find("save_svg: ") == 0);
}
