#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

// A text as the JSON value that reads back to the same text.
Json typed(const std::string& text) {
  std::int64_t integer = 0;
  double real = 0;
  if (text == "true" || text == "false") return text == "true";
  if (parse_number(text, integer) && to_text(integer) == text) return integer;
  if (parse_number(text, real) && std::isfinite(real) && to_text(real) == text) return real;
  return text;
}

std::string untyped(const Json& value) {
  if (value.is_boolean()) return to_text(value.get<bool>());
  if (value.is_number_integer()) return to_text(value.get<std::int64_t>());
  if (value.is_number()) return to_text(value.get<double>());
  return value.get<std::string>();
}

Json to_object(const KeyValues& texts) {
  Json object = Json::object();
  for (const auto& [name, text] : texts) object[name] = typed(text);
  return object;
}

KeyValues to_texts(const Json& object) {
  KeyValues texts;
  for (const auto& [name, value] : object.items()) texts.emplace_back(name, untyped(value));
  return texts;
}

/// Of config.json. It grows when older versions of Ebb would misread what this one writes.
constexpr std::int64_t kConfigFormat = 1;

}  // namespace

std::string texts_json(const KeyValues& texts) {
  return to_object(texts).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const RunConfig& config) {
  const Json json({{"format", kConfigFormat},
                   {"program", config.program},
                   {"options", to_object(config.options)},
                   {"session", to_object(config.session)},
                   {"resolved", to_object(config.resolved)},
                   {"build", to_object(config.build)},
                   {"data", to_object(config.data)}});
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

RunConfig parse_config(std::string_view text) {
  // The JSON parser takes a NUL for the end of its input.
  require<DataError>(text.find('\0') == std::string_view::npos,
                     "[run] config.json is no configuration of a run: it holds a NUL");
  try {
    const Json json = Json::parse(text);
    const std::int64_t format = json.contains("format") ? json["format"].get<std::int64_t>()
                                                        : kConfigFormat;  // 0.1 had none
    require<DataError>(format >= 1 && format <= kConfigFormat, "[run] config.json has the format ",
                       format, ", this version of Ebb reads formats up to ", kConfigFormat,
                       "; use the version that wrote it, or a newer one");
    return {.program = json.at("program").get<std::string>(),
            .options = to_texts(json.at("options")),
            .session = to_texts(json.at("session")),
            .resolved = to_texts(json.at("resolved")),
            .build = to_texts(json.at("build")),
            .data = to_texts(json.at("data"))};
  } catch (const nlohmann::json::parse_error& error) {
    throw DataError(concat("[run] config.json is no configuration of a run: no JSON from byte ",
                           error.byte, " on; restore it"));
  } catch (const nlohmann::json::exception&) {
    throw DataError(
        "[run] config.json is no configuration of a run: expected an object with "
        "program, options, session, resolved, build and data; restore it");
  }
}

const std::string* find_text(const KeyValues& texts, std::string_view name) {
  const auto entry = std::ranges::find(texts, name, &KeyValues::value_type::first);
  return entry == texts.end() ? nullptr : &entry->second;
}

}  // namespace ebb::train
