#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "errors.h"
#include "scratch.h"
#include "tools/ap_command.h"

using namespace ebb;

TEST_CASE("ap prints a line for each class and the mean, or one JSON object") {
  const Scratch scratch;
  const std::string truth = scratch / "truth.json", found = scratch / "found.json";
  std::ofstream(truth) << R"({"images": [{"id": 1, "file_name": "a", "width": 50, "height": 50}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "\u001b[2J"}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}]})";
  std::ofstream(found)
      << R"([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 8], "score": 0.5}])";
  const auto run = [&](tools::ApCommandOptions options) {
    options.ground_truth = options.ground_truth.empty() ? truth : options.ground_truth;
    options.detections = found;
    std::ostringstream out;
    tools::average_precisions(options, out);
    return out.str();
  };
  CHECK(run({.metric = "voc"}) ==
        "class\tboxes\tap\ncat\t1\t1.0000\n\\x1b[2J\t0\t-\nmean\t\t1.0000\n");
  CHECK(test::contains(run({.metric = "coco"}), "cat\t1\t0.7000"));  // IoU 0.8
  CHECK(test::contains(run({.metric = "coco", .iou = {0.5, 0.9}}), "cat\t1\t0.5000"));
  CHECK(test::contains(run({.metric = "voc07", .iou = {0.82}}), "cat\t1\t0.0000"));
  // 11 x 9 of 11 x 11 pixels
  CHECK(
      test::contains(run({.metric = "voc07", .iou = {0.81}, .inclusive = true}), "cat\t1\t1.0000"));
  CHECK(run({.metric = "voc", .json = true}) ==
        "{\"metric\":\"voc\",\"iou\":[0.5],\"pictures\":1,\"classes\":[{\"class\":\"cat\","
        "\"boxes\":1,"
        "\"ap\":1.0},{\"class\":\"\\u001b[2J\",\"boxes\":0,\"ap\":null}],\"mean\":1.0}\n");

  const auto refused = [&](const tools::ApCommandOptions& options) {
    return test::config_error_of([&] { run(options); });
  };
  CHECK(test::contains(refused({.metric = "voc2"}), "unknown metric 'voc2'; did you mean 'voc'?"));
  CHECK(test::contains(refused({.metric = "voc", .split = "test"}), "is one file"));
  CHECK(test::contains(refused({.ground_truth = "synthetic", .metric = "voc", .split = "dev"}),
                       "unknown split 'dev'"));
  CHECK(test::contains(refused({.ground_truth = "synthetic", .metric = "voc", .inclusive = true}),
                       "--inclusive is for"));
  CHECK(test::contains(
      test::data_error_of([&] { run({.ground_truth = scratch / "none", .metric = "voc"}); }),
      "no such folder"));
  std::ofstream(found)
      << R"([{"image_id": 5, "category_id": 1, "bbox": [0, 0, 10, 8], "score": 0.5}])";
  CHECK(test::contains(run({.ground_truth = "synthetic", .metric = "voc"}), "disc\t"));
}
