#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "train/record.h"

// The lines of what a run measures besides its steps: operands, probes, updates.

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

// By Granularity. Weights are [out, in], and alone have grids by row or column.
constexpr std::array kGridNames{"tensor", "output channel", "input channel"};

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

UpdateRow update_of(const Json& json) {
  const auto real = [&](const char* name) {
    const Json number = json.value(name, Json());
    return number.is_number() ? number.get<double>() : 0.0;
  };
  const auto count = [&](const char* name) { return json.value(name, std::int64_t{0}); };
  return {.iteration = json.at("iteration").get<std::int64_t>(),
          .quality = {.name = json.at("parameter").get<std::string>(),
                      .elements = count("elements"),
                      .zero_updates = count("zero_updates"),
                      .lost = count("lost"),
                      .intended_squares = real("intended_squares"),
                      .effective_squares = real("effective_squares"),
                      .dot = real("dot"),
                      .whole_squares = real("whole_squares"),
                      .whole_dot = real("whole_dot"),
                      .residual_squares = real("residual_squares"),
                      .residual_dot = real("residual_dot")}};
}

}  // namespace

std::string to_line(std::int64_t iteration, const OperandQuality& quality) {
  return dump({{"iteration", iteration},
               {"site", quality.site},
               {"role", to_text(quality.role)},
               {"format", to_text(quality.format)},
               {"grid", kGridNames[static_cast<std::size_t>(quality.grid)]},
               {"elements", quality.elements},
               {"at_ends", quality.at_ends},
               {"zeros", quality.zeros},
               {"underflow", quality.underflow},
               {"sqnr_db", quality.sqnr_db}});
}

std::string to_line(std::int64_t iteration, const ProductSums& sums) {
  Json json{
      {"iteration", iteration},         {"site", sums.site}, {"product", to_text(sums.product)},
      {"format", to_text(sums.format)}, {"sums", sums.sums}, {"sum_bits", sums.bits},
      {"overflows", Json::object()}};
  for (const auto& [accumulator, events] : sums.overflows)
    json["overflows"][to_text(accumulator)] = to_text(events);
  return dump(json);
}

std::string to_line(const UpdateRow& row) {
  const UpdateQuality& q = row.quality;
  return dump({{"iteration", row.iteration},
               {"parameter", q.name},
               {"elements", q.elements},
               {"zero_updates", q.zero_updates},
               {"lost", q.lost},
               {"edq", q.edq()},
               {"edq_ratio", q.edq_ratio()},
               {"whole_edq", q.whole_edq()},
               {"whole_edq_ratio", q.whole_edq_ratio()},
               {"intended_squares", q.intended_squares},
               {"effective_squares", q.effective_squares},
               {"dot", q.dot},
               {"whole_squares", q.whole_squares},
               {"whole_dot", q.whole_dot},
               {"residual_squares", q.residual_squares},
               {"residual_dot", q.residual_dot}});
}

std::vector<UpdateRow> read_last_updates(const std::string& directory) {
  const std::string path = directory + "/updates.jsonl";
  std::vector<UpdateRow> rows;
  if (!std::filesystem::exists(path)) return rows;
  const std::string text = read_file(path);
  std::size_t begin = 0, number = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    ++number;
    try {
      UpdateRow row = update_of(Json::parse(std::string_view(text).substr(begin, end - begin)));
      if (!rows.empty() && rows.back().iteration != row.iteration) rows.clear();
      rows.push_back(std::move(row));
    } catch (const std::exception& error) {
      throw DataError(
          concat("[record] ", path, ", line ", number, " is no line of a record: ", error.what()));
    }
  }
  return rows;
}

}  // namespace ebb::train
