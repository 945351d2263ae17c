#include <omp.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/simd.h"
#include "quant/accumulator.h"
#include "quant/cost_model.h"
#include "quant/formats/encoding.h"
#include "quant/formats/format.h"
#include "quant/ledger.h"
#include "train/options/conflicts.h"
#include "train/options/knobs.h"
#include "train/options/numerics.h"
#include "train/options/option_spec.h"
#include "train/options/probe.h"
#include "train/options/rules.h"
#include "train/options/whole_schedule.h"
#include "train/record.h"

namespace ebb::train {
namespace {

using enum OptionSpec::Use;

bool is_width(double bits) { return bits >= 1 && bits <= Format::kMaxIntegerBits; }

void require_width(const std::string& text, std::string_view others) {
  Format format;
  require<ConfigError>(find_width(text, format), "expected 1 to 16 bits or a format", others,
                       ", got '", text, "'");
  require_operand(format);
}

void parse_gradient_bits(const std::string& text) {
  std::int64_t bits = 0;
  if (parse_number(text, bits)) require_width(text, "");  // or a schedule
}

// A number of bits is no format by name, and would be one of an integer by accident.
void parse_role_format(const std::string& text) {
  std::int64_t bits = 0;
  require<ConfigError>(!parse_number(text, bits), "a format has a name, such as int", text,
                       ", got ", text);
}

void parse_eval_bits(const std::string& text) {
  std::int64_t bits = 0;
  if (text == "current") return;
  if (parse_number(text, bits)) return require_width(text, ", or current");
  try {
    require_operand(Format::parse(text));
  } catch (const ConfigError& error) {  // which marks the place
    throw ConfigError(concat("expected 1 to 16 bits, current or a format: ", error.what()));
  }
}

// What a number has to be, in words and as a test.
struct Domain {
  const char* expected;
  bool (*accepts)(double);
};
constexpr Domain kCount{"an integer of 1 and more", [](double n) { return n >= 1; }};
constexpr Domain kWidth{"1 to 16 bits", is_width};
constexpr Domain kSeed{"an integer of 0 and more", [](double n) { return n >= 0; }};
constexpr int kMostThreads = 1024;
constexpr Domain kThreads{"1 to 1024", [](double n) { return n >= 1 && n <= kMostThreads; }};
constexpr Domain kBelowOne{"a number of 0 to below 1", [](double x) { return x >= 0 && x < 1; }};
// Well within float32.
constexpr Domain kRate{"0, or 1e-30 to 1e30",
                       [](double x) { return x == 0 || (x >= 1e-30 && x <= 1e30); }};
constexpr Domain kEpsilon{"1e-30 to 1e30", [](double x) { return x >= 1e-30 && x <= 1e30; }};
constexpr Domain kNorm{"a norm of 1e-30 to 1e30", [](double x) { return x >= 1e-30 && x <= 1e30; }};

using Kind = OptionSpec::Kind;

OptionSpec number(Kind kind, const char* name, const char* value, const char* fallback,
                  OptionSpec::Use use, const char* help, const Domain& domain,
                  Conflict conflict = nullptr) {
  return {.name = name,
          .value = value,
          .kind = kind,
          .fallback = fallback,
          .help = help,
          .expected = domain.expected,
          .accepts = domain.accepts,
          .conflict = conflict,
          .use = use};
}

OptionSpec text(const char* name, const char* value, const char* fallback, OptionSpec::Use use,
                const char* help, void (*parse)(const std::string&) = nullptr,
                Conflict conflict = nullptr) {
  return {.name = name,
          .value = value,
          .fallback = fallback,
          .help = help,
          .parse = parse,
          .conflict = conflict,
          .use = use};
}

OptionSpec flag(const char* name, OptionSpec::Use use, const char* help) {
  return {
      .name = name, .value = "", .kind = Kind::flag, .fallback = "false", .help = help, .use = use};
}

OptionSpec with_default(std::string shown, OptionSpec option) {
  option.default_help = std::move(shown);
  return option;
}

OptionSpec adjustable(OptionSpec option) {
  option.adjustable = true;
  return option;
}

std::vector<OptionSpec> model_options() {
  OptionSpec map =
      text("map", "FILE", "", session,
           "with --import: TOML file that maps names, \"Ebb's name\" = \"name in the file\"");
  map.requires_option = "import";
  return {
      text("arch", "NAME", "", network, "network to train; the table below lists them"),
      text("preset", "NAME", "", network,
           "options of a known experiment; those of the command line override it"),
      text("from", "RUN", "", network,
           "start from the parameters of a run's checkpoint that fit by name and shape"),
      text("import", "FILE", "", session,
           "create a run directory at step 0 from the weights in a safetensors file; ebb import "
           "does this"),
      map,
      text("config", "FILE", "", session,
           "options from a file: the config.json of a run, or TOML as in lr = 0.1; those of the "
           "command line override it")};
}

std::vector<OptionSpec> precision_options() {
  const auto grid = [](const std::string& style) { static_cast<void>(parse_grid_style(style)); };
  const auto cost = [](const std::string& bits) { static_cast<void>(parse_cost_reference(bits)); };
  const auto model = [](const std::string& name) { static_cast<void>(CostModel::parse(name)); };
  OptionSpec period =
      text("period", "floor+1|floor", "floor+1", training,
           "cycle length floor(T/n)+1, or floor(T/n) as in the cost scripts of arXiv 2403.02243",
           nullptr, conflict_without_cycles);
  period.choices = {"floor+1", "floor"};
  OptionSpec keep_fp32 =
      text("keep-fp32", "LIST", "", evaluation,
           "layers left in float32: tags of layers (first, last; shortcut in ResNets, aggregate in "
           "graph networks), names or dotted prefixes of names, separated by commas");
  keep_fp32.may_be_empty = true;
  return {
      text("schedule", "NAME", "CR", training,
           "static, fp32, or cyclic (docs/SCHEDULES.md): CR LR ER RR CT LT ETV ETH RTV RTH"),
      text("bits", "EXPR", "", training,
           "forward bits as a schedule expression, in place of --schedule; group{...} gives layers "
           "and roles bits of their own"),
      number(Kind::integer, "cycles", "N", "8", training, "cycles of a cyclic schedule", kCount,
             conflict_without_cycles),
      period,
      number(Kind::integer, "min-bits", "N", "3", training,
             "lowest forward bits of a cyclic schedule", kWidth, conflict_without_cycles),
      number(Kind::integer, "max-bits", "N", "8", training,
             "highest forward bits of a cyclic schedule, those of a static one", kWidth,
             conflict_without_schedule_of_bits),
      text("gradient-bits", "N|FORMAT|EXPR", "8", training,
           "bits of the gradients, or a format by name such as bf16 or e4m3; group{...} for each "
           "layer; gradients are float32 where the forward bits are fp32",
           parse_gradient_bits, conflict_with_gradient_format),
      text(
          "weight-format", "FORMAT|EXPR", "", training,
          "format of the weights by name, or a schedule of names such as 'e2m1 @90% ; bf16 @rest', "
          "in place of what --bits or --schedule says",
          parse_role_format),
      text("activation-format", "FORMAT|EXPR", "", training, "the same of activations",
           parse_role_format),
      text("gradient-format", "FORMAT|EXPR", "", training,
           "the same of gradients, in place of --gradient-bits", parse_role_format,
           conflict_with_gradients_in_bits),
      with_default(
          "highest of the run",
          text("eval-bits", "N|FORMAT|current", "", evaluation,
               "forward bits of evaluations, or a format by name; current: those of the last step",
               parse_eval_bits)),
      adjustable(text("cost-reference", "W/A/G", "8/8/8", evaluation,
                      "widths of weights, activations and gradients that costs are compared with",
                      cost)),
      adjustable(text("cost-model", "NAME", "bits", evaluation,
                      "what costs are counted in: bits (bits x bits of each product), multiplier, "
                      "datapath or datapath(K=N), throughput or throughput(8=2,bf16=1,...)",
                      model)),
      text("grid", "affine|symmetric", "affine", evaluation,
           "affine: codes from minimum to maximum; symmetric: about zero", grid),
      with_default("--grid",
                   text("gradient-grid", "affine|symmetric", "", training,
                        "the same for gradients; in a symmetric grid zero is a code", grid)),
      keep_fp32};
}

std::vector<OptionSpec> product_options() {
  const auto sums = [](const std::string& name) { static_cast<void>(Accumulator::parse(name)); };
  OptionSpec numerics =
      text("numerics", "FILE", "", evaluation,
           "rules for single layers, roles and products: TOML with tables "
           "[[rule]] of pattern and format, scale, grid, rounding, accumulator, "
           "transform; "
           "they take precedence over the other options of formats",
           [](const std::string& toml) { static_cast<void>(parse_numerics(toml)); });
  numerics.content = numerics_of_file;
  OptionSpec is_signed =
      flag("multiplier-signed", evaluation, "the table is of two's complement codes");
  is_signed.requires_option = "multiplier";
  return {
      text("accumulator", "NAME", "auto", evaluation,
           "what products are summed in: exact, wrapN, satN, fp32, fp32_blocked(N), f_seq(FORMAT), "
           "f_chunk(FORMAT,N), tc(W,N), hopper, blackwell; auto: exact for integers, fixed-point, "
           "posits, e2m1, e2m3 and e3m2, fp32_blocked for blocks, fp32 for other floats",
           sums),
      numerics,
      adjustable(text("multiplier", "FILE|none", "", evaluation,
                      "multiply codes of up to 8 bits by a table of 256 x 256 products of 16 bits, "
                      "as models of approximate multipliers are published")),
      is_signed,
      flag("simulate", evaluation,
           "multiply decoded codes in float32 (fake quantization), for comparison")};
}

OptionSpec hyperparameter(const char* name, const char* shown, const char* help,
                          const Domain& domain, Conflict conflict) {
  return with_default(shown, number(Kind::real, name, "X", "", training, help, domain, conflict));
}

OptionSpec with_loss_scale(OptionSpec option) {
  option.requires_option = "loss-scale";
  return option;
}

/// Of optimizers with weights, gradients and state of few bits.
std::vector<OptionSpec> low_precision_options() {
  std::vector<OptionSpec> options{
      with_default("bf16", text(
                               "optimizer-formats", "LIST", "", training,
                               "formats that a low-precision optimizer (adamw-low, ...) stores: "
                               "one, or by role as in weights=e4m3,residuals=bf16; roles: "
                               "weights, gradients, moments, residuals, masters",
                               [](const std::string& list) {
                                 static_cast<void>(parse_state_formats(list, {}));
                               },
                               conflict_without_low_precision)),
      flag("strict-elementwise", training,
           "round every operation of the optimizer, not only what it keeps"),
      flag("round-update", training,
           "round updates to the weights' format before they are added to the master weights")};
  options[1].conflict = [](const Options& given) {
    return conflict_without_hyperparameter(given, "strict_elementwise");
  };
  options[2].conflict = [](const Options& given) {
    return conflict_without_hyperparameter(given, "round_update");
  };
  return options;
}

std::vector<OptionSpec> training_options() {
  OptionSpec optimizer = text("optimizer", "NAME", "", training, "");
  optimizer.choices = optimizer_names();
  optimizer.help = concat("optimizer: ", join_words(optimizer.choices),
                          "; all but the first three keep weights, gradients and state in few "
                          "bits, see docs/NUMERICS.md");
  std::vector<OptionSpec> options{
      adjustable(with_default("from --epochs", number(Kind::integer, "iterations", "N", "",
                                                      training, "optimizer steps", kCount))),
      adjustable(number(Kind::integer, "epochs", "N", "", training, "passes over the training set",
                        kCount)),
      number(Kind::integer, "batch", "N", "", training, "batch size", kCount,
             conflict_on_whole_graphs),
      number(Kind::integer, "accumulate", "N", "1", training,
             "gradient accumulation: micro-batches per step", kCount, conflict_on_whole_graphs),
      whole_schedule_option(
          "batch-multiplier",
          "batches of --batch in each step, as in '1 @10% ; 16 @rest'; --epochs counts as without",
          conflict_on_whole_graphs),
      optimizer,
      number(Kind::real, "lr", "X", "", training, "learning rate", kRate),
      text("lr-schedule", "EXPR", "", training,
           "schedule expression that multiplies --lr; group{...} gives parameters rates of their "
           "own")};
  std::ranges::move(controller_options(), std::back_inserter(options));
  std::ranges::move(low_precision_options(), std::back_inserter(options));
  OptionSpec set = adjustable(text(
      "set", "KNOB=EXPR", "", training,
      "let a setting follow a schedule (docs/SCHEDULES.md): lr, clip; momentum, weight-decay, "
      "beta1, beta2, eps (of the optimizer); dropout, input-dropout, label-smoothing, z-loss, "
      "rope-theta (of the program); without controllers bits, gradient-bits, sequence-length, "
      "batch-multiplier, masking-rate, weight-bits, activation-bits (--weight-format, "
      "--activation-format), epsilon, kappa (--certify-...). May be given more than once; with "
      "--resume new schedules take over at that update",
      [](const std::string& lines) { static_cast<void>(knob_texts(lines)); }));
  set.repeats = true;
  options.push_back(std::move(set));
  options.push_back(adjustable(
      number(Kind::integer, "phase", "N", "", training,
             "the phase, from 0, of phases(...) in --set; with --resume from there on", kSeed)));
  std::ranges::move(
      std::vector<OptionSpec>{
          number(Kind::real, "momentum", "X", "0.9", training, "momentum of sgd", kBelowOne,
                 conflict_without_momentum),
          hyperparameter(
              "beta1", "0.9", "decay of the mean of gradients", kBelowOne,
              [](const Options& given) { return conflict_without_hyperparameter(given, "beta1"); }),
          hyperparameter(
              "beta2", "0.999", "decay of the mean of their squares", kBelowOne,
              [](const Options& given) { return conflict_without_hyperparameter(given, "beta2"); }),
          hyperparameter("epsilon", "1e-08", "what is added to the root of that mean", kEpsilon,
                         [](const Options& given) {
                           return conflict_without_hyperparameter(given, "epsilon");
                         }),
          number(Kind::real, "weight-decay", "X", "", training, "weight decay", kRate),
          text("loss-scale", "N|dynamic", "", training,
               "multiply the loss before the backward sweep, gradients being divided by it again; "
               "dynamic: halved when they overflow, the step being tried again, and doubled after "
               "--loss-scale-window updates without",
               [](const std::string& scale) { static_cast<void>(LossScale::parse(scale, 1, 0)); }),
          with_loss_scale(
              with_default("16384 / --accumulate",
                           number(Kind::integer, "loss-scale-window", "N", "", training,
                                  "updates after which a dynamic scale doubles", kCount))),
          with_loss_scale(number(Kind::real, "loss-scale-tolerance", "X", "0", training,
                                 "halve the scale if this share of the steps tried overflowed",
                                 kBelowOne)),
          number(Kind::real, "clip", "X", "", training, "clip gradients to this global norm",
                 kNorm),
          number(Kind::integer, "seed", "N", "1", network, "random seed", kSeed),
          adjustable(with_default("an epoch", number(Kind::integer, "eval-every", "N", "", training,
                                                     "steps between evaluations", kCount))),
          adjustable(number(Kind::integer, "patience", "N", "", training,
                            "end the run early after N evaluations without a better score, of the "
                            "validation set if there is one",
                            kCount))},
      std::back_inserter(options));
  return options;
}

std::vector<OptionSpec> machine_options() {
  // Those that this process may run on, which are not all there are where a machine is shared.
  const std::string processors = to_text(std::clamp(omp_get_num_procs(), 1, kMostThreads));
  return {with_default(concat("number of processors: ", processors),
                       number(Kind::integer, "threads", "N", processors.c_str(), session,
                              "threads; never changes a result", kThreads)),
          text("simd", "auto|scalar|avx2|avx512", "auto", session,
               "instruction set; never changes a result",
               [](const std::string& level) { static_cast<void>(parse_simd(level)); })};
}

OptionSpec count(const char* name, OptionSpec::Use use, const char* help,
                 Conflict conflict = nullptr) {
  return number(Kind::integer, name, "N", "", use, help, kCount, conflict);
}

std::vector<OptionSpec> saving_options() {
  OptionSpec keep = text("keep", "last|best|all", "last", session,
                         "checkpoints to keep; last: the last; best: also that of the best score, "
                         "see --patience; all: also every saved one",
                         nullptr, conflict_without_run_directory);
  keep.choices = {"last", "best", "all"};
  return {
      with_default("runs/PROGRAM-ARCH-SCHEDULE-seedN, with -2, -3, ... where that is taken",
                   text("out", "DIR|none", "", session,
                        "run directory to make: configuration, record, checkpoint; none: save "
                        "nothing")),
      adjustable(
          with_default("--eval-every", count("save-every", session, "steps between checkpoints",
                                             conflict_without_run_directory))),
      adjustable(keep),
      flag("resume", session,
           "continue the run in --out, bit for bit, with its options; --data says where the data "
           "moved, larger --iterations or --epochs extend the run if no past value of a schedule "
           "changes"),
      adjustable(count("statistics-every", session,
                       "steps between records of the quantization error of every operand",
                       conflict_without_run_directory)),
      adjustable(count("update-metrics", session,
                       "steps between records of how much of each update survived rounding",
                       conflict_without_run_directory))};
}

std::vector<OptionSpec> run_options() {
  std::vector<OptionSpec> options = saving_options();
  OptionSpec input = text("input", "FILES", "", session,
                          "with --evaluate: files to score instead of the run's data, separated by "
                          "line feeds; ebb predict does this");
  input.requires_option = "evaluate";
  OptionSpec formats =
      text("eval-format", "LIST", "", session,
           "with --evaluate formats such as e4m3,int4 to score the checkpoint in, "
           "one after the other, as a table; ebb evaluate does this",
           [](const std::string& list) { static_cast<void>(parse_formats(list)); });
  formats.requires_option = "evaluate";
  OptionSpec packed =
      text("export-format", "FORMAT", "", session, "with --export: format of the weights",
           [](const std::string& name) { require_operand(Format::parse(name)); });
  packed.requires_option = "export";
  std::ranges::move(
      std::vector<OptionSpec>{
          text("evaluate", "RUN", "", session,
               "score the checkpoint of a run directory instead of training"),
          input, formats,
          text("export", "RUN", "", session,
               "write the weights of the checkpoint of a run, packed in --export-format, into the "
               "file --out, see docs/FORMATS.md; ebb export --weights does this"),
          packed,
          text(
              "checkpoint", "last|best|N", "last", session,
              "with --evaluate, --export or --generate: which checkpoint to use, last, best (that "
              "of the best score), or after N steps, if --keep kept it",
              [](const std::string& name) { static_cast<void>(checkpoint_name(name)); },
              conflict_without_chosen_run),
          flag("dry-run", session,
               "show layers, formats and the predicted bit-operations; train nothing"),
          with_default("by time: 10 s", count("log-every", session, "a line every N steps",
                                              conflict_without_training)),
          flag("json", session, "one JSON object on stdout at the end"),
          flag("quiet", session, "no progress and no warnings")},
      std::back_inserter(options));
  return options;
}

std::vector<OptionSpec> probe_options() {
  const auto formats = [](const std::string& list) {
    static_cast<void>(parse_probe_formats(list));
  };
  const auto sums = [](const std::string& list) {
    static_cast<void>(parse_probe_accumulators(list));
  };
  const auto with_probe = [](OptionSpec option) {
    option.requires_option = "probe";
    return adjustable(std::move(option));
  };
  return {
      adjustable(
          text("probe", "LIST", "", session,
               "formats such as int4,int6 to record what they would have done to every operand and "
               "sum, beside those of the run; changes no result",
               formats, conflict_without_run_directory)),
      with_probe(number(Kind::integer, "probe-every", "N", "50", session,
                        "steps between records of the probe", kCount)),
      with_probe(text("probe-accumulators", "LIST", "wrap16,wrap12", session,
                      "accumulators whose overflow events the probe counts; satN take many times "
                      "as long as wrapN",
                      sums))};
}

std::vector<OptionSpec> vector_options() {
  const auto product = [](const std::string& name) { static_cast<void>(parse_product(name)); };
  const auto with_dump = [](OptionSpec option) {
    option.requires_option = "dump";
    return option;
  };
  return {text("dump", "RUN", "", session,
               "write the codes, sums, scales and results of products of a step of a run into "
               "--out, see docs/HARDWARE.md; ebb dump does this"),
          with_dump(number(Kind::integer, "step", "N", "", session, "iteration, from 0", kSeed)),
          with_dump(text("site", "NAME", "", session, "layer, or a dotted prefix of layer names")),
          with_dump(text("product", "NAME", "", session,
                         "forward, grad_left, grad_right, aggregate or aggregate_grad; all of them "
                         "if it is left out",
                         product)),
          with_dump(number(Kind::integer, "index", "N", "0", session,
                           "which of a layer's products of that kind: of an attention by "
                           "sequence, then head; step of a recurrence, group of a convolution",
                           kSeed))};
}

}  // namespace

std::vector<OptionSpec> common_options() {
  std::vector<OptionSpec> all;
  const auto add = [&all](const char* group, std::vector<OptionSpec> options) {
    for (OptionSpec& option : options) {
      option.group = group;
      all.push_back(std::move(option));
    }
  };
  add(OptionSpec::kModelGroup, model_options());
  add("Precision", precision_options());
  add("Precision", product_options());
  add("Training", training_options());
  add("Machine", machine_options());
  add("Run", run_options());
  add("Probe", probe_options());
  add("Golden vectors", vector_options());
  return all;
}

}  // namespace ebb::train
