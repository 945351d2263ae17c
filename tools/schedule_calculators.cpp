#include "tools/schedule_calculators.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "core/read_number.h"
#include "schedules/last_iterate.h"
#include "schedules/refine.h"
#include "schedules/schedule.h"
#include "schedules/state.h"
#include "train/checkpoint.h"
#include "train/files.h"

namespace ebb::tools {
namespace {

void check_iterations(std::string_view option, std::int64_t iterations) {
  require<ConfigError>(iterations >= 1, "[schedule] expected ", option, " >= 1, got ", iterations);
}

void flush(std::ostream& out) {
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[schedule] cannot write the result: is the disk full or the pipe closed?");
}

/// What the schedules of a run have recorded.
std::vector<double> norms_of_run(const std::string& directory) {
  const train::Checkpoint checkpoint =
      train::parse_checkpoint(train::read_file(directory + "/checkpoint.safetensors"));
  for (const train::StoredTensor& stored : checkpoint.group("knob")) {
    if (std::optional<std::vector<double>> norms = recorded_series(stored.text())) return *norms;
  }
  throw DataError(concat("[schedule] ", directory,
                         " records no norms of gradients; train it with --lr-schedule "
                         "'... * record(gnorm2)', or gnorm1 for Adam"));
}

/// @param path a run, or a file of one number per line
std::vector<double> read_norms(const std::string& path) {
  if (std::filesystem::is_directory(path)) return norms_of_run(path);
  std::ifstream in(path);
  require<DataError>(in.is_open(), "[schedule] cannot open ", path);
  std::vector<double> norms;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    double value = 0;
    const auto [end, code] = read_real(line, value);
    require<DataError>(code == std::errc{} && end == line.data() + line.size(), "[schedule] line ",
                       norms.size() + 1, " of ", path, ": expected one gradient norm, got '",
                       line.substr(0, 40), "'");
    norms.push_back(value);
  }
  require<DataError>(!in.bad() && !norms.empty(), "[schedule] ", path,
                     " holds no numbers; expected one gradient norm per line");
  return norms;
}

std::vector<double> steps_of(const std::string& expression, std::int64_t iterations) {
  return ebb::steps_of(Schedule::parse(expression).bind(iterations));
}

double best_gamma(const std::string& expression, std::int64_t iterations) {
  const double one[] = {1.0};
  return last_iterate_bound(steps_of(expression, iterations), one).best_gamma();
}

/// "20%" as 0.2.
double share_of(const std::string& text) {
  const Length length = Length::parse(text);
  require<ConfigError>(length.unit == Length::Unit::percent,
                       "[transfer] expected --cooldown as a share such as 20%, got '", text, "'");
  return static_cast<double>(length.count.num()) / static_cast<double>(length.count.den()) / 100;
}

}  // namespace

void print_bound(const BoundOptions& options, std::ostream& out) {
  check_iterations("--iterations", options.iterations);
  require<ConfigError>(!options.gamma || (*options.gamma > 0 && std::isfinite(*options.gamma)),
                       "[bound] expected --gamma > 0, got ", options.gamma.value_or(0));
  const std::vector<double> norms =
      options.norms.empty() ? std::vector{options.norm.value_or(1)} : read_norms(options.norms);
  const std::vector<double> steps = steps_of(options.expression, options.iterations);
  const LastIterateBound bound = last_iterate_bound(steps, norms, options.distance);
  const double gamma = options.gamma.value_or(bound.best_gamma());
  std::vector<double> path;
  if (options.path) {
    constexpr std::int64_t kMostUpdates = 50'000;  // some seconds' work
    require<ConfigError>(options.iterations <= kMostUpdates, "[bound] --path takes the square of ",
                         options.iterations, " updates; the limit is ", kMostUpdates);
    path = last_iterate_path(steps, norms, options.distance, gamma);
  }
  if (options.json) {
    out << "{\"omega\": " << to_text(bound.omega(gamma)) << ", \"gamma\": " << to_text(gamma)
        << ", \"gamma_star\": " << to_text(bound.best_gamma())
        << ", \"omega_star\": " << to_text(bound.best());
    if (options.path) {
      out << ", \"path\": [";
      for (std::size_t i = 0; i < path.size(); ++i) out << (i == 0 ? "" : ", ") << to_text(path[i]);
      out << ']';
    }
    out << "}\n";
  } else if (options.path) {
    out << "updates\tomega\n";
    for (std::size_t i = 0; i < path.size(); ++i)
      out << to_text(i + 1) << '\t' << to_text(path[i]) << '\n';
  } else {
    out << "omega\t" << to_text(bound.omega(gamma)) << "\ngamma_star\t"
        << to_text(bound.best_gamma()) << "\nomega_star\t" << to_text(bound.best()) << '\n';
  }
  flush(out);
}

void print_transfer(const TransferOptions& options, std::ostream& out) {
  check_iterations("--iterations", options.iterations);
  const std::int64_t longer = options.to_iterations.value_or(options.iterations);
  check_iterations("--to-iterations", longer);
  require<ConfigError>(options.from.empty() == options.to.empty(),
                       "[transfer] expected both --from and --to, or neither for a plateau that "
                       "goes on");
  if (!options.from.empty()) {
    const double before = best_gamma(options.from, options.iterations),
                 after = best_gamma(options.to, longer);
    out << "gamma_star_from\t" << to_text(before) << "\ngamma_star_to\t" << to_text(after)
        << "\nfactor\t" << to_text(after / before) << "\nlog_factor\t"
        << to_text(math::log(after / before)) << '\n';
  } else {
    const double cooldown = share_of(options.cooldown);
    const Extension extension = extend_plateau(options.iterations, longer, cooldown);
    const auto shown = [](double x) { return to_text(std::round(x * 1000) / 1000); };
    const std::int64_t plateau =
        options.iterations - std::llround(cooldown * static_cast<double>(options.iterations));
    out << "plateau_factor\t" << to_text(extension.plateau) << "\nplateau_expr\t(1 @"
        << to_text(plateau) << "up ; " << shown(extension.plateau) << " @rest) * (1 @rest ; lin @"
        << options.cooldown << ")\ncooldown\t" << to_text(extension.cooldown)
        << "\ncooldown_expr\t1 @rest ; lin @" << to_text(std::round(extension.cooldown * 1000) / 10)
        << "%\n";
  }
  flush(out);
}

void print_refined(const RefineOptions& options, std::ostream& out, std::ostream& warnings) {
  require<ConfigError>(options.points.value_or(1) >= 1, "[refine] expected --points >= 1, got ",
                       options.points.value_or(1));
  const RefinedSchedule refined =
      refine(read_norms(options.source),
             {.power = options.power, .window = options.window, .extend = options.extend});
  for (const std::string& warning : refined.warnings)
    warnings << "ebb schedule: warning: " << warning << '\n';
  const std::size_t points =
      options.points ? static_cast<std::size_t>(*options.points) : refined.rates.size();
  out << schedules::table(shares_of(refined.rates, points)).text() << '\n';
  flush(out);
}

}  // namespace ebb::tools
