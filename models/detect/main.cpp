#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/detect/network.h"
#include "train/app/run_main.h"
#include "train/tasks/detection.h"

namespace {

using namespace ebb;
using namespace ebb::train;

std::vector<Arch> archs() {
  std::vector<Arch> list{{.name = "tiny",
                          .summary = "RetinaNet of a few hundred thousand parameters, without P6 "
                                     "and P7",
                          .lr = 0.002,
                          .lr_schedule = "warm(50up) 1->0.01 : cos",
                          .optimizer = "adamw",
                          .weight_decay = 1e-4,
                          .epochs = 6,
                          .batch = 8,
                          .clip = 5.0,
                          .options = {{"size", "128"}, {"anchor-base", "3"}}}};
  for (const int depth : kImageNetDepths) {
    list.push_back({.name = concat("retinanet-r", depth),
                    .summary = concat("RetinaNet on ResNet-", depth),
                    .lr = 1e-4,
                    .lr_schedule = "warm(500up) 1->0.01 : cos",
                    .optimizer = "adamw",
                    .weight_decay = 1e-4,
                    .epochs = 30,
                    .batch = 8,
                    .clip = 1.0});
  }
  return list;
}

std::vector<Preset> presets() {
  return {{.name = "cpt-voc",
           .summary = "RetinaNet-R18 on Pascal VOC 2012; give --data the folder, and --from a run "
                      "of ebb-cnn --arch resnet18 on ImageNet",
           .options = {{"arch", "retinanet-r18"},
                       {"size", "608"},
                       {"longest", "1024"},
                       {"frozen-norm", "true"},
                       {"range-updates", "level"},
                       {"epochs", "120"},
                       {"batch", "8"},
                       {"optimizer", "adam"},
                       {"lr", "1e-5"},
                       {"lr-schedule", "1"},
                       {"weight-decay", "0"},
                       {"clip", "0.1"},
                       {"eval-every", "3575"},
                       {"min-bits", "5"},
                       {"max-bits", "8"},
                       {"gradient-bits", "8"},
                       {"cycles", "8"}},
           .warnings = {"max-bits and gradient-bits were 8 or 6",
                        "with --arch retinanet-r101 the batch was 4 in the baseline script and the "
                        "cost calculator, and 2 with a learning rate of 3e-6 in a schedule script",
                        "an earlier script had min-bits 4, a learning rate of 3e-5 and 150 epochs",
                        "the reference starts from weights of ImageNet; without --from, frozen "
                        "norms normalise nothing",
                        "the reference quantizes biases; here they are float32",
                        "the reference divides the losses by the matched anchors of each picture, "
                        "here by those of the batch"}}};
}

Program program() {
  Program program{"ebb-detect",
                  "Trains networks that find boxes in pictures in emulated low "
                  "precision.",
                  archs()};
  program.options = detection_options();
  program.options.push_back({.name = "anchor-base",
                             .value = "F",
                             .kind = OptionSpec::Kind::real,
                             .fallback = "4",
                             .help = "side of the smallest square anchor of a level, in strides",
                             .expected = "above 0 and at most 64",
                             .accepts = [](double base) { return base > 0 && base <= 64; }});
  program.options.push_back({.name = "frozen-norm",
                             .value = "",
                             .kind = OptionSpec::Kind::flag,
                             .fallback = "false",
                             .help = "batch norm uses running statistics in training, too, and "
                                     "does not learn; for a backbone that comes --from a run"});
  program.options.push_back(
      {.name = "range-updates",
       .value = "step|level",
       .fallback = "step",
       .help = "how often the running ranges of the heads' inputs move: once a step, by the union "
               "of the levels, or once for each level",
       .choices = {"step", "level"}});
  program.presets = presets();
  return program;
}

Task build(const Options& options, ParamStore& params) {
  const auto data = std::make_shared<const DetectionData>(train::open_detection(options));
  RetinaNetConfig config = retinanet_config(options.text("arch"));
  config.anchors.base = options.real("anchor-base");
  config.trunk.frozen_norm = options.flag("frozen-norm");
  config.ranges_by_level = options.text("range-updates") == "level";
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("initial values");
  const int classes = static_cast<int>(data->train.classes.size());
  return detection_task(data, make_retinanet(config, classes, params, key), options);
}

}  // namespace

int main(int argc, char** argv) { return ebb::cli::run_main(argc, argv, {program(), build}); }
