#include "tools/ap_command.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string_view>

#include "core/error.h"
#include "core/printable.h"
#include "data/average_precision.h"
#include "data/coco.h"
#include "data/detection_open.h"
#include "data/file.h"
#include "train/app/tables.h"

namespace ebb::tools {
namespace {

DetectionSet part_of(const std::string& where, const std::string& split) {
  const std::vector<std::string> known{"train", "validation", "test"};
  require<ConfigError>(std::ranges::find(known, split) != known.end(), "[ap] ",
                       unknown_word("split", split, known));
  DetectionData data = open_detection(where);
  DetectionSet part = split == "train"        ? std::move(data.train)
                      : split == "validation" ? std::move(data.validation)
                                              : std::move(data.test);
  require<DataError>(part.count() > 0, "[ap] ", where, ": has no pictures for --split ", split);
  return part;
}

std::string read_text(const std::string& path) {
  const std::vector<std::byte> bytes = read_data_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

DetectionSet ground_truth(const ApCommandOptions& options) {
  std::error_code ignored;
  const std::string& where = options.ground_truth;
  if (!std::filesystem::is_regular_file(where, ignored)) {
    require<ConfigError>(!options.inclusive,
                         "[ap] --inclusive is for files of COCO's instances: the boxes of a data "
                         "set are read as its format says");
    return part_of(where, options.split.empty() ? "test" : options.split);
  }
  require<ConfigError>(options.split.empty(), "[ap] --split chooses a part of a data set, and ",
                       where, " is one file");
  return parse_coco(read_text(where), where);
}

ApOptions ap_options(const ApCommandOptions& options) {
  ApOptions result{.rule = parse_ap_rule(options.metric)};
  if (result.rule == ApRule::coco) result = ApOptions::coco();
  if (!options.iou.empty()) result.iou = options.iou;
  result.inclusive = options.inclusive;
  return result;
}

std::string number_text(const std::optional<double>& value) {
  return value ? train::format_fixed(*value, 4) : "-";
}

nlohmann::ordered_json to_json(const DetectionSet& truth, const ApCommandOptions& options,
                               const ApOptions& used, const AveragePrecision& result) {
  const auto number = [](const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json classes = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < truth.classes.size(); ++i)
    classes.push_back({{"class", truth.classes[i]},
                       {"boxes", result.boxes[i]},
                       {"ap", number(result.by_class[i])}});
  return {{"metric", options.metric},
          {"iou", used.iou},
          {"pictures", truth.count()},
          {"classes", std::move(classes)},
          {"mean", number(result.mean)}};
}

}  // namespace

void average_precisions(const ApCommandOptions& options, std::ostream& out) {
  const ApOptions used = ap_options(options);
  const DetectionSet truth = ground_truth(options);
  const auto found = parse_coco_results(read_text(options.detections), options.detections, truth);
  std::vector<std::vector<BoxLabel>> boxes;
  for (const LabelledPicture& picture : truth.pictures) boxes.push_back(picture.boxes);
  const AveragePrecision result =
      average_precision(boxes, found, static_cast<int>(truth.classes.size()), used);
  if (options.json) {
    out << to_json(truth, options, used, result).dump() << '\n';
  } else {
    out << "class\tboxes\tap\n";
    for (std::size_t i = 0; i < truth.classes.size(); ++i)
      out << printable(truth.classes[i]) << '\t' << result.boxes[i] << '\t'
          << number_text(result.by_class[i]) << '\n';
    out << "mean\t\t" << number_text(result.mean) << '\n';
  }
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[ap] cannot write the table: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
