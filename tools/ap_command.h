#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace ebb::tools {

struct ApCommandOptions {
  std::string ground_truth{};  ///< a file of COCO's instances, or what open_detection opens
  std::string detections{};    ///< a file of COCO's results
  std::string metric{};        ///< voc07, voc or coco
  std::vector<double> iou{};   ///< empty: 0.5, or of coco .50:.05:.95
  std::string split{};         ///< train, validation or test of a data set; empty: test
  bool inclusive = false, json = false;
};

/// Scores the detections. Writes TSV: class, boxes to be found, average precision ("-" without
/// boxes), and a line for the mean; or one JSON object. See average_precision.
/// @throws ConfigError for options that are wrong or do not go together; DataError for files that
/// are not what they should be, or if `out` cannot be written
void average_precisions(const ApCommandOptions& options, std::ostream& out);

}  // namespace ebb::tools
