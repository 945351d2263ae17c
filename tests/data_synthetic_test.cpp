#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "data/batches.h"
#include "data/open.h"
#include "data/synthetic.h"

using namespace ebb;

namespace {

const std::vector<std::uint8_t>& bytes(const ImageSet& set) {
  return std::get<std::vector<std::uint8_t>>(set.pixels);
}

/// Softmax regression [10, pixels + bias], trained by plain SGD on batches of one.
class LinearModel {
 public:
  explicit LinearModel(std::int64_t pixels)
      : pixels_(static_cast<std::size_t>(pixels)), w_(10 * (pixels_ + 1)) {}

  void step(const float* x, std::int32_t label, float rate) {
    std::array<float, 10> p = logits(x);
    const float top = *std::ranges::max_element(p);
    float sum = 0.0f;
    for (float& value : p) sum += value = std::exp(value - top);
    for (std::size_t c = 0; c < 10; ++c) {
      const float g = rate * (p[c] / sum - (static_cast<std::int32_t>(c) == label ? 1.0f : 0.0f));
      float* w = row(c);
      for (std::size_t i = 0; i < pixels_; ++i) w[i] -= g * x[i];
      w[pixels_] -= g;
    }
  }
  double accuracy(const Batch& batch) {
    std::int64_t right = 0;
    for (std::size_t i = 0; i < batch.labels.size(); ++i) {
      const auto p = logits(batch.inputs.data() + i * pixels_);
      right += std::ranges::max_element(p) - p.begin() == batch.labels[i] ? 1 : 0;
    }
    return static_cast<double>(right) / static_cast<double>(batch.size());
  }

 private:
  float* row(std::size_t c) { return w_.data() + c * (pixels_ + 1); }
  std::array<float, 10> logits(const float* x) {
    std::array<float, 10> y{};
    for (std::size_t c = 0; c < 10; ++c) {
      const float* w = row(c);
      std::array<float, 8> lanes{};  // lets the compiler use vectors
      for (std::size_t i = 0; i < pixels_; ++i) lanes[i % 8] += w[i] * x[i];
      y[c] = w[pixels_];
      for (const float lane : lanes) y[c] += lane;
    }
    return y;
  }

  std::size_t pixels_;
  std::vector<float> w_;
};

}  // namespace

TEST_CASE(
    "a synthetic set is balanced, of the stated shape, and an image depends on key and index "
    "alone") {
  for (const SyntheticKind kind : {SyntheticKind::grey, SyntheticKind::colour}) {
    const bool grey = kind == SyntheticKind::grey;
    CAPTURE(grey);
    const ImageSet set = synthetic_images(kind, 200, Key(5));
    CHECK_NOTHROW(require_consistent(set));
    CHECK(set.shape == (grey ? Shape{28, 28, 1} : Shape{32, 32, 3}));
    CHECK(set.classes == 10);
    for (std::int32_t c = 0; c < 10; ++c) CHECK(std::ranges::count(set.labels, c) == 20);
    CHECK(set.normalization == measure_normalization(set));
    const ImageSet shorter = synthetic_images(kind, 30, Key(5));
    CHECK(std::equal(bytes(shorter).begin(), bytes(shorter).end(), bytes(set).begin()));
    CHECK(synthetic_images(kind, 200, Key(6)).fingerprint() != set.fingerprint());
    const int threads = omp_get_max_threads();
    for (const int n : {1, 3}) {
      omp_set_num_threads(n);
      CHECK(synthetic_images(kind, 200, Key(5)).fingerprint() == set.fingerprint());
    }
    omp_set_num_threads(threads);
  }
  CHECK_THROWS_AS(synthetic_images(SyntheticKind::grey, 0, Key(1)), ConfigError);
}

TEST_CASE("the embedded sets are these bytes on every machine and with every compiler") {
  // Changing these changes every result on the embedded sets; say so in the changelog.
  const DataSet grey = open_data("synthetic"), colour = open_data("synthetic-cifar");
  CHECK(grey.train.fingerprint() ==
        "e39dc3ef5ebef3c135addbad32506cdadc2046670a8f5da00f05a33326aeec18");
  CHECK(grey.test.fingerprint() ==
        "710095aa4410942997fc4277fb12f4aaa2fadb27ad5148170d1b5e544304faff");
  CHECK(colour.train.fingerprint() ==
        "3efe17695982ac46d0fa2b77086fc39fa3d7c7c54cbab3471791ce6a0c47c6bf");
  CHECK(colour.test.fingerprint() ==
        "5f7da30f6005ea5c2630f61618750a3b55c7b6567125bcb50e6c6775174b28c9");
}

TEST_CASE("softmax regression learns something of the embedded sets, but stays far below 90 %" *
          doctest::test_suite("large")) {
  for (const std::string name : {"synthetic", "synthetic-cifar"}) {
    CAPTURE(name);
    const DataSet data = open_data(name);
    const Batch train = batch_in_file_order(data.train, 0, 6000),
                test = batch_in_file_order(data.test, 0, data.test.count());
    const std::int64_t pixels = data.train.shape.size();
    LinearModel model(pixels);
    const int epochs = data.train.shape[2] == 1 ? 4 : 2;
    for (int epoch = 0; epoch < epochs; ++epoch) {
      for (std::int64_t i = 0; i < train.size(); ++i) {
        model.step(train.inputs.data() + i * pixels, train.labels[static_cast<std::size_t>(i)],
                   3e-4f / static_cast<float>(1 + epoch));
      }
    }
    const double accuracy = model.accuracy(test);
    MESSAGE(name, ": softmax regression gets ", accuracy);
    CHECK(accuracy > 0.4);
    CHECK(accuracy < 0.8);
  }
}
